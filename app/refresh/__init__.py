"""The pass over customers whose facts changed, and the full run over everybody: one function, two uses."""
