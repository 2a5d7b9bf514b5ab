"""What is measured beside the race, each in a file of its own: it takes a bench and fills in `Beside`."""
