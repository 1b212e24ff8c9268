"""The experts of one modality each: from a recipe to a graph, and to a bundle."""
