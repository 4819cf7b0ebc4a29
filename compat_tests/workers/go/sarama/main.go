// sarama; clients run with its defaults. A second argument names the version of Kafka that it shall
// believe to speak with.
package main

import (
	"errors"
	"os"
	"time"

	"github.com/IBM/sarama"

	"woodpecker-gateway/workers/rpc"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func main() {
	made := &worker{seeds: []string{os.Args[1]}, version: sarama.DefaultVersion}
	if len(os.Args) > 2 {
		var err error
		if made.version, err = sarama.ParseKafkaVersion(os.Args[2]); err != nil {
			panic(err)
		}
	}
	rpc.Serve(made, "github.com/IBM/sarama")
}

type worker struct {
	seeds   []string
	version sarama.KafkaVersion
}

func (w *worker) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = w.version
	return config
}

func (*worker) Fault(err error) (int, string, bool) {
	var topic *sarama.TopicError
	if errors.As(err, &topic) {
		return int(topic.Err), topic.Err.Error(), true
	}
	var partitions *sarama.TopicPartitionError
	if errors.As(err, &partitions) {
		return int(partitions.Err), partitions.Err.Error(), true
	}
	var fault sarama.KError
	if errors.As(err, &fault) {
		return int(fault), fault.Error(), true
	}
	return 0, "", false
}

// Producers

type producer struct{ client sarama.AsyncProducer }

// placed sends a record to the partition it names, and lets the default choose where it names none.
type placed struct{ sarama.Partitioner }

func (p placed) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if message.Partition >= 0 {
		return message.Partition, nil
	}
	return p.Partitioner.Partition(message, count)
}

func (w *worker) NewProducer(options rpc.ProducerOptions) (rpc.Producer, error) {
	config := w.config()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = func(topic string) sarama.Partitioner {
		return placed{sarama.NewHashPartitioner(topic)}
	}
	config.Producer.Compression = codecs[options.Codec]
	if options.MessageBytesMax > 0 {
		config.Producer.MaxMessageBytes = options.MessageBytesMax
	}
	if acks := options.Extra.Acks; acks != nil {
		config.Producer.RequiredAcks = sarama.RequiredAcks(*acks)
	}
	if id := options.Extra.TransactionalID; id != "" {
		config.Producer.Transaction.ID = id
	}
	if wanted := options.Idempotence(); wanted != nil && *wanted || options.Extra.TransactionalID != "" {
		config.Producer.Idempotent = true
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Net.MaxOpenRequests = 1
	}
	client, err := sarama.NewAsyncProducer(w.seeds, config)
	if err == nil && options.Extra.TransactionalID != "" {
		err = client.BeginTxn()
	}
	return &producer{client}, err
}

func (p *producer) Produce(records []rpc.Record, timeout time.Duration) ([]rpc.Outcome, error) {
	go func() {
		for index, record := range records {
			message := &sarama.ProducerMessage{
				Topic: record.Topic, Partition: -1, Timestamp: record.Time(), Metadata: index,
			}
			if record.Partition != nil {
				message.Partition = *record.Partition
			}
			if record.Key != nil {
				message.Key = sarama.ByteEncoder(record.Key)
			}
			if record.Value != nil {
				message.Value = sarama.ByteEncoder(record.Value)
			}
			for _, header := range record.Headers {
				message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
			}
			p.client.Input() <- message
		}
	}()
	outcomes := make([]rpc.Outcome, len(records))
	late := time.After(timeout)
	for range records {
		select {
		case done := <-p.client.Successes():
			outcomes[done.Metadata.(int)] = rpc.Outcome{
				Offset: done.Offset, Partition: done.Partition, TimestampMS: done.Timestamp.UnixMilli(),
			}
		case failed := <-p.client.Errors():
			outcomes[failed.Msg.Metadata.(int)].Err = failed.Err
		case <-late:
			return nil, errors.New("records not answered in time")
		}
	}
	return outcomes, nil
}

func (p *producer) Close() error { return p.client.Close() }
