// Package elasticsearch stands in for the Elasticsearch client while Jaeger is compiled.
//
// Jaeger's storage links every store that it knows. This client alone takes two thirds of Jaeger's compile time (847 packages,
// two minutes on two cores), and the stack keeps its traces in Badger. What Jaeger uses of it is here, and refuses.
package elasticsearch

import (
	"errors"
	"net/http"

	"github.com/elastic/go-elasticsearch/v9/esapi"
)

// Config is what Jaeger sets.
type Config struct {
	Addresses            []string
	Username             string
	Password             string
	Header               http.Header
	Transport            http.RoundTripper
	DiscoverNodesOnStart bool
	CompressRequestBody  bool
}

// Client is never made.
type Client struct {
	Indices *esapi.Indices
}

// NewClient says what is missing.
func NewClient(Config) (*Client, error) {
	return nil, errors.New("this build of Jaeger has no Elasticsearch 8 client: use the official image")
}
