// segmentio's kafka-go; clients run with its defaults, but for acks: its Writer waits for none.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"woodpecker-gateway/workers/rpc"
)

const (
	callTimeout  = 60 * time.Second
	batchTimeout = 5 * time.Millisecond // a second, unless told otherwise
)

var codecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func main() {
	client := &kafka.Client{Addr: kafka.TCP(os.Args[1]), Timeout: callTimeout}
	rpc.Serve(&worker{os.Args[1], client}, "github.com/segmentio/kafka-go")
}

type worker struct {
	bootstrap string
	client    *kafka.Client
}

// ask sends a request, and again if it met a connection that was lost while nobody used it, which this
// client does not notice by itself. Its pool may hold several of them: the second time takes a new one.
func ask[A, R any](call func(context.Context, *A) (*R, error), asked *A) (*R, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	answer, err := call(ctx, asked)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		kafka.DefaultTransport.(*kafka.Transport).CloseIdleConnections()
		return call(ctx, asked)
	}
	return answer, err
}

func (*worker) Fault(err error) (int, string, bool) {
	var fault kafka.Error
	if errors.As(err, &fault) {
		return int(fault), fault.Title(), true
	}
	var large kafka.MessageTooLargeError
	if errors.As(err, &large) {
		return int(kafka.MessageSizeTooLarge), kafka.MessageSizeTooLarge.Title(), true
	}
	return 0, "", false
}

// Producers

type producer struct {
	writer *kafka.Writer
	lock   sync.Mutex
	placed map[int]kafka.Message // by their place in what is produced now
}

// sent is where a message stands among those produced together, and the partition it names, if any.
type sent struct {
	index     int
	partition *int32
}

type balancer struct{ otherwise kafka.Hash }

func (b *balancer) Balance(message kafka.Message, partitions ...int) int {
	if named := message.WriterData.(sent).partition; named != nil {
		return int(*named)
	}
	return b.otherwise.Balance(message, partitions...)
}

func (w *worker) NewProducer(options rpc.ProducerOptions) (rpc.Producer, error) {
	if options.Extra.TransactionalID != "" {
		// There is no transactional producer: an application has to send the requests itself.
		answer, err := ask(w.client.InitProducerID, &kafka.InitProducerIDRequest{
			TransactionalID: options.Extra.TransactionalID, TransactionTimeoutMs: 10_000,
		})
		if err == nil {
			err = answer.Error
		}
		return nil, err
	}
	made := &producer{}
	made.writer = &kafka.Writer{
		Addr:                   kafka.TCP(w.bootstrap),
		Balancer:               &balancer{},
		BatchTimeout:           batchTimeout,
		RequiredAcks:           kafka.RequireAll,
		Compression:            codecs[options.Codec],
		AllowAutoTopicCreation: true,
		Completion:             made.completed,
		BatchBytes:             int64(options.MessageBytesMax),
	}
	if acks := options.Extra.Acks; acks != nil {
		made.writer.RequiredAcks = kafka.RequiredAcks(*acks)
	}
	return made, nil
}

func (p *producer) completed(messages []kafka.Message, _ error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, message := range messages {
		p.placed[message.WriterData.(sent).index] = message
	}
}

func (p *producer) Produce(records []rpc.Record, timeout time.Duration) ([]rpc.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	p.placed = map[int]kafka.Message{}
	messages := make([]kafka.Message, len(records))
	for index, record := range records {
		message := kafka.Message{
			Topic: record.Topic, Key: record.Key, Value: record.Value, Time: record.Time(),
			WriterData: sent{index, record.Partition},
		}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Name, Value: header.Value})
		}
		messages[index] = message
	}
	var failures kafka.WriteErrors
	if err := p.writer.WriteMessages(ctx, messages...); err != nil && !errors.As(err, &failures) {
		failures = make(kafka.WriteErrors, len(records))
		for index := range failures {
			failures[index] = err
		}
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	outcomes := make([]rpc.Outcome, len(records))
	for index := range records {
		done := p.placed[index]
		outcomes[index] = rpc.Outcome{
			Offset: done.Offset, Partition: int32(done.Partition), TimestampMS: messages[index].Time.UnixMilli(),
		}
		if failures != nil {
			outcomes[index].Err = failures[index]
		}
	}
	return outcomes, nil
}

func (p *producer) Close() error { return p.writer.Close() }
