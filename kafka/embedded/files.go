package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// writeJSON replaces a file as a whole: whoever reads it sees the old content or the new, after any crash.
func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// readJSON leaves v as it is if there is no such file.
func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// repairLog cuts a torn entry off the end of one of kfake's append-only logs (length, CRC-32C, body; little
// endian). kfake itself skips it when reading but appends behind it, so that everything written later is
// unreadable at the following start.
func repairLog(path string) (cut int64, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	rest := raw
	for len(rest) >= 10 {
		n := int64(binary.LittleEndian.Uint32(rest)) + 8
		if n < 10 || n > int64(len(rest)) || crc32.Checksum(rest[8:n], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		rest = rest[n:]
	}
	if len(rest) == 0 {
		return 0, nil
	}
	return int64(len(rest)), os.Truncate(path, int64(len(raw)-len(rest)))
}

// syncFile makes a file's content durable, whoever wrote it.
func syncFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
