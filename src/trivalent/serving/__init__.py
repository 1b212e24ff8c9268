"""What app and service share towards the network: the listener, origins, slow clients."""
