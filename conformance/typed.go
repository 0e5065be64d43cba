package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// isTyped reports whether a message is one of those beside readings: a JSON object that begins with its type.
func isTyped(data []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimSpace(rest), []byte(`"type"`))
}

// converse answers what a device says beside its readings.
func (c *conn) converse(data []byte) {
	var m struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	k := c.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	e := Evidence{Conn: c.number} // without a snippet: it might show a credential
	if err := json.Unmarshal(data, &m); err != nil {
		e.What = fmt.Sprintf("a message with a type is not valid JSON: %v", err)
		k.tally.fail(checkSyntax, e)
		return
	}
	switch m.Type {
	case wire.TypeAuth:
		var p struct {
			Token string `json:"token"`
		}
		_ = json.Unmarshal(m.Payload, &p)
		c.credential = p.Token
		k.stage.reauthenticate(k, p.Token)
		c.say(`{"type":"authenticated","payload":{"subject":"device under test","roles":["device"]}}`)
	case wire.TypePing:
		if len(m.Payload) == 0 {
			m.Payload = json.RawMessage("null")
		}
		c.say(`{"type":"app_pong","payload":` + string(m.Payload) + `}`)
	case "hello", "command_result":
	default:
		e.What = fmt.Sprintf("messages of type %q are not known", m.Type)
		k.tally.fail(checkSyntax, e)
	}
}

func (c *conn) say(text string) {
	_ = c.socket.SetWriteDeadline(time.Now().Add(c.kit.pace))
	_ = c.socket.WriteMessage(gws.OpcodeText, []byte(text))
}
