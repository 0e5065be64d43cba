package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	credentialsDir = "credentials"
	signingFile    = "signing.key"
	localFile      = "local.key"
	// minSecret is that of HS256: no shorter than its hash.
	minSecret = 32
)

// Signer makes Weir's own tokens, and holds what API keys are hashed with.
type Signer struct {
	kid         string
	method      jwt.SigningMethod
	private     any
	public      any
	pepper      []byte
	fingerprint string // of the pepper
}

// ReadSigner reads a signing key, as Config.SigningKeyFile has it.
func ReadSigner(file string) (*Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	s, err := newSigner(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("signing key: %s: %w", file, err)
	}
	return s, nil
}

// openSigner reads the signing key, or makes it. Without a file or directory it lives as long as the process.
func openSigner(file, dataDir string) (*Signer, error) {
	if file != "" {
		return ReadSigner(file)
	}
	secret := []byte(newSecret(minSecret))
	if dataDir == "" {
		return newSigner(secret)
	}
	file = filepath.Join(dataDir, credentialsDir, signingFile)
	s, err := ReadSigner(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := writePrivate(file, secret); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return newSigner(secret)
}

func newSigner(text []byte) (*Signer, error) {
	s := &Signer{method: jwt.SigningMethodHS256, private: text, public: text}
	seed := text
	if block, _ := pem.Decode(text); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("not a private key in PKCS #8 form")
		}
		key, ok := parsed.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("it is a %T; use Ed25519, or a secret text", parsed)
		}
		s.method, s.private, s.public, seed = jwt.SigningMethodEdDSA, key, key.Public().(ed25519.PublicKey), key.Seed()
	}
	if len(seed) < minSecret {
		return nil, fmt.Errorf("a secret has at least %d bytes, this one has %d", minSecret, len(seed))
	}
	var err error
	if s.pepper, err = hkdf.Key(sha256.New, seed, nil, "weir api key pepper", sha256.Size); err != nil {
		return nil, err
	}
	id, err := hkdf.Key(sha256.New, seed, nil, "weir signing key id", 12)
	if err != nil {
		return nil, err
	}
	s.kid, s.fingerprint = "weir-"+hex.EncodeToString(id[:6]), hex.EncodeToString(id[6:])
	return s, nil
}

// Token is what a Signer signs.
type Token struct {
	Subject string
	Tenant  string
	Roles   []string
	Read    []string
	Write   []string
	// Rooms are what it may in rooms; nil: what its roles say.
	Rooms   []RoomRights
	Publish bool
	Expires time.Time
}

// Validate names what a server would refuse.
func (t *Token) Validate() error {
	errs := []error{validRights(&rights{Tenant: t.Tenant, Roles: t.Roles, Read: t.Read, Write: t.Write, Rooms: t.Rooms})}
	if t.Subject == "" || !validLabel(t.Subject, maxSubject) {
		errs = append(errs, fmt.Errorf("subject: must have 1 to %d bytes and no control characters", maxSubject))
	}
	return errors.Join(errs...)
}

// Mint makes a token, and tells the id by which it can be revoked. Patterns and roles are taken as they are.
func (s *Signer) Mint(t Token, now time.Time) (token, id string, err error) {
	c := &claims{
		Subject: t.Subject, Audience: jwt.ClaimStrings{audienceAccess}, ID: newID(), Expires: at(t.Expires), Issued: at(now),
		claimedRights: claimedRights{Tenant: t.Tenant, Roles: t.Roles, Read: t.Read, Write: t.Write, Rooms: t.Rooms, Publish: t.Publish},
	}
	token, err = s.sign(c)
	return token, c.ID, err
}

func (s *Signer) sign(c *claims) (string, error) {
	c.Issuer = ownIssuer
	t := jwt.NewWithClaims(s.method, c)
	t.Header["kid"] = s.kid
	text, err := t.SignedString(s.private)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return text, nil
}

// newSecret is random text with n bytes of entropy.
func newSecret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// newID is a random name, 96 bits: enough that none comes twice. It is no secret.
func newID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// writePrivate makes a file that only its owner can read, whole or not at all.
func writePrivate(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
