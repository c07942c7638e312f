"""The page of densefuse-demo: `page` lays it out, `request` computes what it shows."""
