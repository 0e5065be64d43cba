package config

import (
	"strings"

	"weir/internal/spelling"
)

// nearest is the known key that was probably meant: the same name in another section, or one that is spelt nearly so.
// Empty: none is near.
func nearest(key string, known []string) string {
	name := key[strings.LastIndex(key, delimiter)+1:]
	for _, k := range known {
		if strings.HasSuffix(k, delimiter+name) {
			return k
		}
	}
	return spelling.Near(key, known)
}
