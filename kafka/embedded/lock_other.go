//go:build !unix

package embedded

import (
	"errors"
	"fmt"
	"os"
)

func lockDir(dir string) (*os.File, error) {
	return nil, fmt.Errorf("lock data directory %s: %w", dir, errors.ErrUnsupported)
}
