package embedded

import (
	"context"
	"encoding/binary"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fencing refuses what kfake grants and Kafka does not: raising the epoch of a transactional id by an id and
// epoch that a successor has replaced. With it a zombie that renews would fence the owner.
//
// Its method runs in place of kfake's handling of a request, while kfake does nothing else; asking kfake
// for the present epoch needs it to go on meanwhile. So the answer counts only if no other request was let
// through since.
type fencing struct {
	cluster *kfake.Cluster
	dial    func(context.Context) (net.Conn, error)
	passed  int // requests let through; kfake runs one at a time
}

func (f *fencing) install() { f.cluster.ControlKey(int16(kmsg.InitProducerID), f.control) }

func (f *fencing) control(req kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake's signature
	r, ok := req.(*kmsg.InitProducerIDRequest)
	if !ok || r.TransactionalID == nil {
		return nil, nil, false
	}
	for r.ProducerID >= 0 {
		var (
			before = f.passed
			owner  *kmsg.DescribeTransactionsResponseTransactionState
			err    error
		)
		f.cluster.SleepControl(func() { owner, err = f.owner(*r.TransactionalID) })
		if err != nil {
			return nil, err, true // ends the connection
		}
		if f.passed != before {
			continue
		}
		known := kerr.ErrorForCode(owner.ErrorCode) == nil
		if !known || owner.ProducerID != r.ProducerID || owner.ProducerEpoch != r.ProducerEpoch {
			f.cluster.KeepControl()
			return refuse(r, known), nil, true
		}
		break
	}
	f.passed++
	return nil, nil, false
}

func refuse(r *kmsg.InitProducerIDRequest, known bool) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.Version = r.Version
	switch {
	case !known:
		resp.ErrorCode = kerr.InvalidProducerIDMapping.Code
	case r.Version < 4:
		resp.ErrorCode = kerr.InvalidProducerEpoch.Code
	default:
		resp.ErrorCode = kerr.ProducerFenced.Code
	}
	return resp
}

// owner asks who has the transactional id.
func (f *fencing) owner(txid string) (*kmsg.DescribeTransactionsResponseTransactionState, error) {
	conn, err := f.dial(context.Background())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{txid}
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	if err := newCaller(conn).do(req, resp); err != nil {
		return nil, err
	}
	if len(resp.TransactionStates) != 1 {
		return nil, io.ErrUnexpectedEOF
	}
	return &resp.TransactionStates[0], nil
}

// caller sends requests over a connection, one at a time.
type caller struct {
	conn   net.Conn
	format *kmsg.RequestFormatter
	number int32
	buf    []byte
}

func newCaller(conn net.Conn) *caller {
	return &caller{conn: conn, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("weir-embedded"))}
}

func (c *caller) do(req kmsg.Request, resp kmsg.Response) error {
	c.number++
	c.buf = c.format.AppendRequest(c.buf[:0], req, c.number)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return err
	}
	resp.SetVersion(req.GetVersion())
	head := 4 // the number again
	if resp.IsFlexible() {
		head++ // no tags
	}
	if len(body) < head {
		return io.ErrUnexpectedEOF
	}
	return resp.ReadFrom(body[head:])
}
