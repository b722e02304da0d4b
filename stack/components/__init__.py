"""The components of the stack, a folder each, with all that belongs to it.

    settings.py    its section of the settings; imports no Pulumi, so that settings load quickly
    config.py      pure functions from its settings to the configuration of its program
    component.py   its Kubernetes objects, as a Pulumi component
    scrape.py      the targets that Prometheus scrapes on its pods

Where a folder holds several components, each has a file named after it. `shared` has what several components use.
"""
