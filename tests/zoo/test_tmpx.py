def test_x():
    from micrographia.zoo.registry import load
    from micrographia.model.trace import trace
    trace(*load("mini-inception"))
