"""What the engines and the exporters say about themselves, as typed readings."""
