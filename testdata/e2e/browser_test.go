package e2e

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// browser is a person at a browser of a few lines: it fills in each form that the
// provider shows, which takes it through login and consent.
type browser struct {
	http     *http.Client
	userCode string // to enter where a page asks for it (RFC 8628 §3.3)
	says     string // the button to press where there is more than one
	page     string // the last one
	back     string // the redirect to fob, not followed
}

// newBrowser trusts the certificates in the file of $E2E_CA too.
func newBrowser() (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &browser{http: &http.Client{Jar: jar}}
	if file := os.Getenv("E2E_CA"); file != "" {
		b.http.Transport = (&pki{CA: file}).client().Transport
	}
	return b, nil
}

var (
	formAction = regexp.MustCompile(`<form[^>]*\saction="([^"]+)"`)
	formInput  = regexp.MustCompile(`<input[^>]*>`)
	attribute  = regexp.MustCompile(`\s(name|value)="([^"]*)"`)
)

// complaint marks a page that was not content with what was entered.
const complaint = `class="red"`

// visit goes to a page and on through its forms, until one has none, complains, or
// leads to another host.
func (b *browser) visit(target string) error {
	at, err := url.Parse(target)
	if err != nil {
		return err
	}
	b.back = ""
	b.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Host != at.Host {
			b.back = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := b.http.Get(target)
	for range 8 {
		if err != nil {
			return err
		}
		where := resp.Request.URL
		if b.page, err = read(resp, nil); err != nil || b.back != "" {
			return err
		}
		action := formAction.FindStringSubmatch(b.page)
		if action == nil || strings.Contains(b.page, complaint) {
			return nil
		}
		next, err := where.Parse(html.UnescapeString(action[1]))
		if err != nil {
			return err
		}
		if resp, err = b.http.PostForm(next.String(), b.filledIn()); err != nil {
			return err
		}
	}
	return fmt.Errorf("too many forms: %.300s", b.page)
}

// filledIn is the page's form with what a person enters.
func (b *browser) filledIn() url.Values {
	form := url.Values{}
	for _, input := range formInput.FindAllString(b.page, -1) {
		field := map[string]string{}
		for _, match := range attribute.FindAllStringSubmatch(input, -1) {
			field[match[1]] = html.UnescapeString(match[2])
		}
		switch name := field["name"]; {
		case name == "login":
			form.Set(name, "ada")
		case name == "user_code" && field["value"] == "":
			form.Set(name, b.userCode)
		default:
			form.Set(name, field["value"])
		}
	}
	if b.says != "" && strings.Contains(b.page, `value="yes" name="`+b.says+`"`) {
		form.Set(b.says, "yes")
	}
	return form
}

// browse logs in and consents, and returns the redirect to fob without following it.
func browse(target string) (string, error) {
	b, err := newBrowser()
	if err != nil {
		return "", err
	}
	return b.browse(target)
}

func (b *browser) browse(target string) (string, error) {
	err := b.visit(target)
	if err == nil && b.back == "" {
		err = fmt.Errorf("the provider did not send the browser back: %.300s", b.page)
	}
	return b.back, err
}

// approve is browse to the end, at fob's listener.
func approve(target string) error {
	b, err := newBrowser()
	if err != nil {
		return err
	}
	return throughFob(b.http, target, b.browse)
}

// throughFob goes by fob's start page, if the target is one, to the provider and back
// to fob's listener, with the cookies of one browser.
func throughFob(hc *http.Client, target string, browse func(string) (string, error)) error {
	staying := *hc
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if !strings.Contains(target, "?") {
		resp, err := staying.Get(target)
		page, err := read(resp, err)
		if err != nil {
			return err
		}
		location, err := resp.Location()
		if err != nil {
			return fmt.Errorf("fob's start page says: %.300s", page)
		}
		target = location.String()
	}
	back, err := browse(target)
	if err != nil {
		return err
	}
	page, err := read(staying.Get(back))
	if err == nil && !strings.Contains(page, "You are logged in") {
		err = fmt.Errorf("fob's page says: %.300s", page)
	}
	return err
}

func read(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
