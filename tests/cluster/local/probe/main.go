// Command probe is the workload of the lifecycle test: it keeps a file on its volume and calls itself through a service.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const kept = "/data/kept"

func main() {
	if _, err := os.Stat(kept); os.IsNotExist(err) {
		if err := os.WriteFile(kept, []byte("kept"), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		content, err := os.ReadFile(kept)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(content)
	})
	http.HandleFunc("/call", call)
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
	os.Exit(1)
}

// call resolves the host that the query names and fetches its front page: DNS and the service's address in one.
func call(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	host := r.URL.Query().Get("host")
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+":8080/", nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Fprintf(w, "%v %s", addresses, body)
}
