package deadletter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/wire"
)

// ID names a letter: where its record is.
type ID struct {
	Partition int
	Offset    int64
}

func (id ID) String() string { return fmt.Sprintf("%d-%d", id.Partition, id.Offset) }

// ParseID reads an ID.
func ParseID(text string) (ID, error) {
	p, o, ok := strings.Cut(text, "-")
	if ok {
		partition, perr := strconv.ParseUint(p, 10, 31)
		offset, oerr := strconv.ParseUint(o, 10, 63)
		if perr == nil && oerr == nil {
			return ID{int(partition), int64(offset)}, nil
		}
	}
	return ID{}, fmt.Errorf("%q is no id of a dead letter, such as 3-1042", text)
}

// Letter is a dead letter with what became of it.
type Letter struct {
	ID ID
	wire.DeadLetter
	// Resolution is nil while the letter is open.
	Resolution *Resolution

	truncated bool // the record lacks the frame's end
}

// What became of a letter.
const (
	Replayed  = "replayed"
	Discarded = "discarded"
)

// Resolution tells what became of a letter, when, and who did it.
type Resolution struct {
	Outcome string `json:"outcome"`
	Time    int64  `json:"-"`
	By      string `json:"by"`
}

// maxExcerpt is how much of a frame a list shows.
const maxExcerpt = 200

type letterJSON struct {
	ID            string          `json:"id"`
	Time          string          `json:"time"`
	Device        string          `json:"device"`
	Code          string          `json:"code"`
	Path          string          `json:"path,omitempty"`
	Message       string          `json:"message"`
	Stage         string          `json:"stage"`
	Subject       string          `json:"subject,omitempty"`
	Format        string          `json:"format,omitempty"`
	DefaultDevice string          `json:"default_device,omitempty"`
	Rejected      []uint32        `json:"rejected,omitempty"`
	Size          int             `json:"size"`
	Truncated     bool            `json:"truncated,omitempty"`
	Excerpt       string          `json:"excerpt,omitempty"`
	Raw           []byte          `json:"raw,omitempty"` // base64
	Source        string          `json:"source,omitempty"`
	Resolution    *resolutionJSON `json:"resolution,omitempty"`
}

type resolutionJSON struct {
	Outcome string `json:"outcome"`
	Time    string `json:"time"`
	By      string `json:"by"`
}

// view is the letter as clients see it; whole: with the frame, else with its beginning.
func (l *Letter) view(whole bool) letterJSON {
	v := letterJSON{
		ID: l.ID.String(), Time: instant(l.Time), Device: l.Device, Code: l.Code, Path: l.Path, Message: l.Message,
		Stage: l.Stage, Subject: l.Subject, Format: l.Format, DefaultDevice: l.DefaultDevice, Rejected: l.Rejected,
		Size: max(l.Size, len(l.Raw)), Truncated: l.truncated,
	}
	if utf8.Valid(l.Raw) {
		v.Excerpt = strings.ToValidUTF8(string(l.Raw[:min(len(l.Raw), maxExcerpt)]), "")
	}
	if whole {
		v.Raw = l.Raw
	}
	if l.Topic != "" {
		v.Source = fmt.Sprintf("%s/%d@%d", l.Topic, l.Partition, l.Offset)
	}
	if r := l.Resolution; r != nil {
		v.Resolution = &resolutionJSON{r.Outcome, instant(r.Time), r.By}
	}
	return v
}

// MarshalJSON is the letter with its frame.
func (l *Letter) MarshalJSON() ([]byte, error) { return json.Marshal(l.view(true)) }

func instant(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }
