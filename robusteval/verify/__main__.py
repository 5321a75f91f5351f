"""`python -m robusteval.verify RUN`: the same as `robusteval verify`, where click is not installed."""

from robusteval.verify.alone import attended

if __name__ == "__main__":
    attended()
