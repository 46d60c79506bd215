"""What a person looks at while a network learns and writes: the page, the playground, the protocol of programs."""
