"""What hidden units respond to: activations, features of the text, probing."""
