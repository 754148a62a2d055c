package apikey

import (
	"fmt"
	"slices"
	"strings"
)

// maxScopes bounds what one key may carry; maxScope is a scope's length.
const (
	maxScopes = 64
	maxScope  = 100
)

// CheckScope refuses what is no scope: resource:action, of a-z, 0-9, '.', '-' and
// '_' each, or '*' for all at that level.
func CheckScope(scope string) error {
	resource, action, found := strings.Cut(scope, ":")
	if found && isScopeLevel(resource) && isScopeLevel(action) && len(scope) <= maxScope {
		return nil
	}
	if near := suggestScope(scope); near != "" {
		return fmt.Errorf("invalid scope %.80q: did you mean %s?", scope, near)
	}
	return fmt.Errorf("invalid scope %.80q: use resource:action, such as orders:read or orders:*", scope)
}

// suggestScope corrects the most common mistakes in a scope; "" if it has none of them.
func suggestScope(scope string) string {
	if scope == "*" {
		return "*:*"
	}
	if strings.ContainsAny(scope, ", ") {
		parts := strings.FieldsFunc(scope, func(r rune) bool { return r == ',' || r == ' ' })
		if len(parts) > 1 && !slices.ContainsFunc(parts, func(s string) bool { return CheckScope(s) != nil }) {
			return "--scope " + strings.Join(parts, " --scope ")
		}
		return ""
	}
	mended := strings.ToLower(scope)
	if !strings.Contains(mended, ":") {
		for _, separator := range []string{"/", ".", "_", "-"} {
			if strings.Count(mended, separator) == 1 {
				mended = strings.Replace(mended, separator, ":", 1)
				break
			}
		}
	}
	resource, action, found := strings.Cut(mended, ":")
	if mended != scope && found && isScopeLevel(resource) && isScopeLevel(action) {
		return mended
	}
	return ""
}

func isScopeLevel(level string) bool {
	return level == "*" || level != "" && level[0] != '.' && level[0] != '-' && strings.Trim(level, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// scopeCovers reports whether a granted scope permits a needed one.
func scopeCovers(granted, needed string) bool {
	resource, action, _ := strings.Cut(granted, ":")
	neededResource, neededAction, _ := strings.Cut(needed, ":")
	return (resource == "*" || resource == neededResource) && (action == "*" || action == neededAction)
}

// missingScope returns the first needed scope that none of the granted ones covers.
func missingScope(granted, needed []string) (string, bool) {
	for _, need := range needed {
		if !slices.ContainsFunc(granted, func(grant string) bool { return scopeCovers(grant, need) }) {
			return need, true
		}
	}
	return "", false
}
