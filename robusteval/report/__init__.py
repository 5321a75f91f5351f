def render(record): return "<!doctype html><html></html>"
