"""The page of densefuse-demo: `page` lays it out, `engine` computes what it shows."""
