package serve

import (
	"embed"
	"net"
	"path"
	"strings"
)

//go:embed proxies
var proxies embed.FS

// ProxyConfig returns the concatenated configuration files that make a reverse proxy check
// keys with fob at HOST:PORT. Lines about X-API-Key are repeated for each header that may
// contain a key.
func ProxyConfig(proxy, address string, headers []string) string {
	if len(headers) == 0 {
		headers = defaultHeaders()
	}
	var b strings.Builder
	_, port, _ := net.SplitHostPort(address)
	replacer := strings.NewReplacer("127.0.0.1:8089", address, "8089", port)
	files, _ := proxies.ReadDir("proxies")
	for _, file := range files {
		if name, _, _ := strings.Cut(file.Name(), "."); name != proxy {
			continue
		}
		text, _ := proxies.ReadFile(path.Join("proxies", file.Name()))
		for line := range strings.Lines(replacer.Replace(string(text))) {
			if !strings.Contains(strings.ToLower(line), "x-api-key") {
				b.WriteString(line)
				continue
			}
			for _, header := range headers {
				b.WriteString(strings.NewReplacer("X-API-Key", header, "x-api-key", strings.ToLower(header)).Replace(line))
			}
		}
	}
	return b.String()
}
