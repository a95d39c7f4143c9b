"""The HTTP port: metrics, health, the page, and who may see them."""
