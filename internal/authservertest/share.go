package authservertest

import (
	"fmt"
	"net/http"
	"time"
)

// addShare adds the time since began to the server's share.
func (s *Server) addShare(began time.Time) {
	if !s.opts.Share {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share += time.Since(began)
}

// Share is how long the server's own handlers have taken, where Options.Share is set:
// what of a login is not the client's time.
func (s *Server) Share() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.share
}

func (s *Server) serveShare(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, s.Share().Nanoseconds())
}

func (s *Server) serveShareReset(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share = 0
}
