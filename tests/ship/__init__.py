"""What is shipped beside the code: the image, the Compose file, the manifests."""
