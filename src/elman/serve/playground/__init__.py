"""The playground: its page, its endpoints, and the inspection of texts and units."""
