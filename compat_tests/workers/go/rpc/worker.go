// Package rpc is the worker's side of the JSON-lines conversation (see rpc.py): a client library
// implements Worker, Producer and Consumer, and Serve answers requests with them.
package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNotOffered is what a library without an operation answers.
var ErrNotOffered = errors.New("this client has no such operation")

// Header is a name and a value, on the wire a pair.
type Header struct {
	Name  string
	Value []byte
}

// MarshalJSON writes the pair.
func (h Header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.Name, h.Value})
}

// UnmarshalJSON reads the pair.
func (h *Header) UnmarshalJSON(text []byte) error {
	return pair(text, &h.Name, &h.Value)
}

// Record is what is produced and consumed. Without a partition the client chooses one.
type Record struct {
	Topic       string   `json:"topic"`
	Partition   *int32   `json:"partition"`
	Offset      int64    `json:"offset"`
	TimestampMS *int64   `json:"timestamp_ms"`
	Key         []byte   `json:"key"`
	Value       []byte   `json:"value"`
	Headers     []Header `json:"headers"`
}

// Time is when the record was made: now, unless it says so itself.
func (r Record) Time() time.Time {
	if r.TimestampMS == nil {
		return time.Now()
	}
	return time.UnixMilli(*r.TimestampMS)
}

// Consumed puts a record together from what a library hands out.
func Consumed(topic string, partition int32, offset int64, at time.Time, key, value []byte, headers []Header) Record {
	ms := at.UnixMilli()
	return Record{topic, &partition, offset, &ms, key, value, headers}
}

// Outcome is where a produced record is, or why it is not there.
type Outcome struct {
	Offset      int64
	Partition   int32
	TimestampMS int64
	Err         error
}

// Partition is one partition of a topic, on the wire a pair.
type Partition struct {
	Topic string
	ID    int32
}

// MarshalJSON writes the pair.
func (p Partition) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{p.Topic, p.ID})
}

// UnmarshalJSON reads the pair.
func (p *Partition) UnmarshalJSON(text []byte) error {
	return pair(text, &p.Topic, &p.ID)
}

// Symbolic offsets of Assign.
const (
	Beginning = -2
	End       = -1
)

// Position is an offset (or a time in ms) in a partition, on the wire three items; the offset may be
// "beginning" or "end".
type Position struct {
	Partition
	Offset int64
}

// UnmarshalJSON reads the three items.
func (p *Position) UnmarshalJSON(text []byte) error {
	var offset json.RawMessage
	if err := pair(text, &p.Topic, &p.ID, &offset); err != nil {
		return err
	}
	switch string(offset) {
	case `"beginning"`:
		p.Offset = Beginning
	case `"end"`:
		p.Offset = End
	default:
		return json.Unmarshal(offset, &p.Offset)
	}
	return nil
}

func pair(text []byte, targets ...any) error {
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return err
	}
	if len(items) != len(targets) {
		return fmt.Errorf("%d items expected: %s", len(targets), text)
	}
	for index, item := range items {
		if err := json.Unmarshal(item, targets[index]); err != nil {
			return err
		}
	}
	return nil
}

// Extra are settings that only some tests make, by neutral names.
type Extra struct {
	Acks              *int   `json:"acks"`
	EnableIdempotence *bool  `json:"enable_idempotence"`
	SessionTimeoutMS  int    `json:"session_timeout_ms"`
	HeartbeatInterval int    `json:"heartbeat_interval_ms"`
	TransactionalID   string `json:"transactional_id"`
	Assignor          string `json:"assignor"`
	PatienceMS        int    `json:"patience_ms"` // with a topic that is not there
}

// ProducerOptions: what is nil or zero stays at the library's default.
type ProducerOptions struct {
	Name            string `json:"name"`
	Codec           string `json:"codec"`
	Idempotent      *bool  `json:"idempotent"`
	MessageBytesMax int    `json:"message_bytes_max"`
	Extra           Extra  `json:"extra"`
}

// Idempotence is what the test asked for, if anything.
func (o ProducerOptions) Idempotence() *bool {
	if o.Idempotent != nil {
		return o.Idempotent
	}
	return o.Extra.EnableIdempotence
}

// ConsumerOptions: what is nil or zero stays at the library's default.
type ConsumerOptions struct {
	Name       string `json:"name"`
	Group      string `json:"group"`
	Start      string `json:"start"`
	AutoCommit *bool  `json:"auto_commit"`
	Extra      Extra  `json:"extra"`
}

// Commits says whether the library shall commit by itself.
func (o ConsumerOptions) Commits() bool {
	return o.Group != "" && (o.AutoCommit == nil || *o.AutoCommit)
}

// Group is what describing a group tells.
type Group struct {
	State        string `json:"state"`
	MembersCount int    `json:"members_count"`
}

// Producer sends records; Close waits until they are sent.
type Producer interface {
	Produce(records []Record, timeout time.Duration) ([]Outcome, error)
	Close() error
}

// Consumer reads by group (Subscribe) or by itself (Assign).
type Consumer interface {
	Subscribe(topics []string) error
	Assign(positions []Position) error
	Seek(position Position) error
	Poll(count int, timeout time.Duration) ([]Record, error)
	Assignment() ([]Partition, error)
	// Commit commits what was polled if positions are nil.
	Commit(positions []Position) error
	Committed(partitions []Partition) ([]*int64, error)
	OffsetsForTimes(times []Position) ([]*int64, error)
	Watermarks(partition Partition) (low, high int64, err error)
	Close() error
}

// Worker is a client library.
type Worker interface {
	NewProducer(ProducerOptions) (Producer, error)
	NewConsumer(ConsumerOptions) (Consumer, error)
	CreateTopic(topic string, partitions int, configs map[string]*string) error
	CreatePartitions(topic string, count int) error
	DeleteTopic(topic string) error
	// DeleteRecords returns the new start of the partition.
	DeleteRecords(before Position) (int64, error)
	// ListTopics returns the number of partitions by topic.
	ListTopics() (map[string]int, error)
	AlterConfigs(topic string, configs map[string]*string) error
	// TopicConfigs returns what is set on the topic itself.
	TopicConfigs(topic string) (map[string]string, error)
	ListGroups() ([]string, error)
	DescribeGroup(group string) (Group, error)
	DeleteGroup(group string) error
	// Fault is Kafka's error code and its name, or false: not an error of Kafka.
	Fault(err error) (code int, name string, ok bool)
}
