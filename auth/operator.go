package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	codeLifetime = 15 * time.Minute
	maxCodes     = 100
	// operatorSubject is who comes by a link.
	operatorSubject = "operator"
)

// codes are one-time codes of operator links. They are of this process only, kept as hashes.
type codes struct {
	now func() time.Time

	mu   sync.Mutex
	made map[string]time.Time // by hash
}

var errTooManyCodes = errors.New("too many operator links are unused")

func (c *codes) make(at time.Time) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for hash, made := range c.made {
		if !now.Before(made.Add(codeLifetime)) {
			delete(c.made, hash)
		}
	}
	if len(c.made) >= maxCodes {
		return "", errTooManyCodes
	}
	code := newKeyText(keySecretBytes)
	c.made[hashOf(code)] = at
	return code, nil
}

// take uses a code up, and tells when it was made.
func (c *codes) take(code string) (made time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := hashOf(code)
	made, ok = c.made[hash]
	delete(c.made, hash)
	return made, ok && c.now().Before(made.Add(codeLifetime))
}

// hashOf makes the time of a look-up tell nothing about the codes there are.
func hashOf(code string) string {
	sum := sha256.Sum256([]byte(code))
	return string(sum[:])
}

// OperatorLink makes a link that signs a browser in as admin, once, within 15 minutes. base is where browsers find the
// dashboard. The code is in the fragment, which browsers send to nobody.
func (k *Keeper) OperatorLink(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("operator link: %w", err)
	}
	code, err := k.codes.make(k.revoked.issueTime("", operatorSubject, k.now()))
	if err != nil {
		return "", fmt.Errorf("operator link: %w", err)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment = "code=" + code
	return u.String(), nil
}

// operator is who a link signs in that was made at a time.
func operator(made time.Time) *Principal {
	p := Everybody()
	p.Subject, p.Method, p.Issued = operatorSubject, methodCode, made
	return p
}

// LocalKeyFile is where a server keeps the API key for tools on its machine.
func LocalKeyFile(dataDir string) string { return filepath.Join(dataDir, credentialsDir, localFile) }

// ensureLocalKey makes an admin key for whoever can read the data directory, unless the one in the file is valid.
func (k *Keeper) ensureLocalKey(ctx context.Context) error {
	if k.dataDir == "" {
		return nil
	}
	file := LocalKeyFile(k.dataDir)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if id, secret, ok := parseKey(strings.TrimSpace(string(text))); ok {
		if p, e := k.keys.verify(k.signer, id, secret, k.now()); e == nil && k.standing(p) == nil {
			return nil
		}
	}
	host, err := os.Hostname()
	if err != nil || !validLabel(host, maxDescription/2) {
		host = "this machine"
	}
	all := rightsOf(Everybody())
	_, key, err := k.createKey(ctx, keyRecord{Name: "local tools on " + host, CreatedBy: "weir", rights: all})
	if err != nil {
		return err
	}
	return writePrivate(file, []byte(key))
}
