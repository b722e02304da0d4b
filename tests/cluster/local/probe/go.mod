module web-crawl-tracing/tests/local/probe

go 1.25.0
