package authservertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Response is one response of a scripted server.
type Response struct {
	Status int         // 0: 200
	Header http.Header // Content-Type is application/json unless it is here
	Body   string      // ISSUER stands for the server's URL
}

// Scripted is a server that answers as odd servers did: each path has a list of responses,
// of which the last one repeats. A path without any is not found.
type Scripted struct {
	*httptest.Server
	mu        sync.Mutex
	responses map[string][]Response
	requests  map[string][]url.Values
}

// StartScripted starts a scripted server, which ends with the test.
func StartScripted(t testing.TB, responses map[string][]Response) *Scripted {
	t.Helper()
	s := &Scripted{responses: responses, requests: map[string][]url.Values{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Answer sets the responses of a path from now on.
func (s *Scripted) Answer(path string, responses ...Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.responses[path] = responses
}

// Forms returns the form of each request for a path so far.
func (s *Scripted) Forms(path string) []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path]
}

func (s *Scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	defer s.mu.Unlock()
	path := r.URL.Path
	s.requests[path] = append(s.requests[path], r.Form)
	list := s.responses[path]
	if len(list) == 0 {
		http.NotFound(w, r)
		return
	}
	if len(list) > 1 {
		s.responses[path] = list[1:]
	}
	response := list[0]
	w.Header().Set("Content-Type", "application/json")
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	if response.Status != 0 {
		w.WriteHeader(response.Status)
	}
	_, _ = io.WriteString(w, strings.ReplaceAll(response.Body, "ISSUER", s.URL))
}
