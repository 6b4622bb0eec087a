"""`daa doctor --cluster`: each node, the paths that they share, and the network between them."""
