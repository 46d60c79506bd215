"""Web applications: the OpenAI-compatible server with its playground, and the dashboard of training runs."""
