"""Page on this machine to play with one-shot learning: forms of its messages, the game, the server."""
