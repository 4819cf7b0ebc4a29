// franz-go (kgo, and kadm for administration); clients run with their defaults.
package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"woodpecker-gateway/workers/rpc"
)

const callTimeout = 60 * time.Second

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	seeds := kgo.SeedBrokers(os.Args[1])
	plain, err := kgo.NewClient(seeds)
	if err != nil {
		panic(err)
	}
	rpc.Serve(&worker{seeds, kadm.NewClient(plain)}, "github.com/twmb/franz-go")
}

type worker struct {
	seeds kgo.Opt
	admin *kadm.Client
}

func limited() context.Context {
	ctx, _ := context.WithTimeout(context.Background(), callTimeout) // ends by itself
	return ctx
}

func (*worker) Fault(err error) (int, string, bool) {
	var fault *kerr.Error
	if errors.As(err, &fault) {
		return int(fault.Code), fault.Message, true
	}
	return 0, "", false
}

// Producers

type producer struct{ client *kgo.Client }

func (w *worker) NewProducer(options rpc.ProducerOptions) (rpc.Producer, error) {
	byHand := kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic("")
		return func(record *kgo.Record, count int) int {
			if record.Partition < 0 {
				return keyed.Partition(record, count)
			}
			return int(record.Partition)
		}
	})
	settings := []kgo.Opt{w.seeds, kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(byHand)}
	if options.Codec != "" {
		settings = append(settings, kgo.ProducerBatchCompression(codecs[options.Codec]))
	}
	if wanted := options.Idempotence(); wanted != nil && !*wanted {
		settings = append(settings, kgo.DisableIdempotentWrite())
	}
	if options.MessageBytesMax > 0 {
		settings = append(settings, kgo.ProducerBatchMaxBytes(int32(options.MessageBytesMax)))
	}
	if acks := options.Extra.Acks; acks != nil {
		level := map[int]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}[*acks]
		settings = append(settings, kgo.RequiredAcks(level))
	}
	if options.Extra.PatienceMS > 0 {
		settings = append(settings, kgo.UnknownTopicRetries(1))
	}
	if id := options.Extra.TransactionalID; id != "" {
		settings = append(settings, kgo.TransactionalID(id))
	}
	client, err := kgo.NewClient(settings...)
	if err == nil && options.Extra.TransactionalID != "" {
		err = client.BeginTransaction()
	}
	return &producer{client}, err
}

func (p *producer) Produce(records []rpc.Record, timeout time.Duration) ([]rpc.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	outcomes := make([]rpc.Outcome, len(records))
	var waiting sync.WaitGroup
	for index, record := range records {
		sent := &kgo.Record{
			Topic: record.Topic, Partition: -1, Key: record.Key, Value: record.Value, Timestamp: record.Time(),
		}
		if record.Partition != nil {
			sent.Partition = *record.Partition
		}
		for _, header := range record.Headers {
			sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		waiting.Add(1)
		p.client.Produce(ctx, sent, func(done *kgo.Record, err error) {
			outcomes[index] = rpc.Outcome{
				Offset: done.Offset, Partition: done.Partition, TimestampMS: done.Timestamp.UnixMilli(), Err: err,
			}
			waiting.Done()
		})
	}
	waiting.Wait()
	return outcomes, nil
}

func (p *producer) Close() error {
	p.client.Close()
	return nil
}

// Consumers

type consumer struct {
	*worker
	settings []kgo.Opt
	group    string
	commits  bool        // by itself
	client   *kgo.Client // from Subscribe or Assign on
	direct   bool

	lock     sync.Mutex
	assigned map[rpc.Partition]bool
}

func (w *worker) NewConsumer(options rpc.ConsumerOptions) (rpc.Consumer, error) {
	made := &consumer{
		worker: w, group: options.Group, commits: options.Commits(), assigned: map[rpc.Partition]bool{},
	}
	made.settings = []kgo.Opt{w.seeds}
	switch options.Start {
	case "earliest":
		made.settings = append(made.settings, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	case "latest", "":
		made.settings = append(made.settings, kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	}
	if options.Group == "" {
		return made, nil
	}
	if !made.commits {
		made.settings = append(made.settings, kgo.DisableAutoCommit())
	}
	if options.Extra.Assignor == "roundrobin" {
		made.settings = append(made.settings, kgo.Balancers(kgo.RoundRobinBalancer()))
	}
	if ms := options.Extra.SessionTimeoutMS; ms > 0 {
		made.settings = append(made.settings, kgo.SessionTimeout(time.Duration(ms)*time.Millisecond))
	}
	if ms := options.Extra.HeartbeatInterval; ms > 0 {
		made.settings = append(made.settings, kgo.HeartbeatInterval(time.Duration(ms)*time.Millisecond))
	}
	return made, nil
}

func (c *consumer) Subscribe(topics []string) error {
	note := func(given bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			c.lock.Lock()
			defer c.lock.Unlock()
			for topic, ids := range parts {
				for _, id := range ids {
					if given {
						c.assigned[rpc.Partition{Topic: topic, ID: id}] = true
					} else {
						delete(c.assigned, rpc.Partition{Topic: topic, ID: id})
					}
				}
			}
		}
	}
	revoked := note(false)
	settings := append(c.settings,
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(topics...),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsLost(note(false)),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, parts map[string][]int32) {
			if c.commits { // as its own callback does, which ours replaces
				_ = client.CommitUncommittedOffsets(ctx)
			}
			revoked(ctx, client, parts)
		}),
	)
	var err error
	c.client, err = kgo.NewClient(settings...)
	return err
}

func (c *consumer) Assign(positions []rpc.Position) error {
	parts := map[string]map[int32]kgo.Offset{}
	for _, position := range positions {
		if parts[position.Topic] == nil {
			parts[position.Topic] = map[int32]kgo.Offset{}
		}
		offset := kgo.NewOffset().At(position.Offset)
		switch position.Offset {
		case rpc.Beginning:
			offset = kgo.NewOffset().AtStart()
		case rpc.End:
			// The end of now, not of when the client gets around to asking.
			_, high, err := c.Watermarks(position.Partition)
			if err != nil {
				return err
			}
			offset = kgo.NewOffset().At(high)
		}
		parts[position.Topic][position.ID] = offset
		c.assigned[position.Partition] = true
	}
	c.direct = true
	var err error
	var settings []kgo.Opt
	for index, setting := range c.settings {
		if index < 2 { // the rest is about groups
			settings = append(settings, setting)
		}
	}
	c.client, err = kgo.NewClient(append(settings, kgo.ConsumePartitions(parts))...)
	return err
}

func (c *consumer) Seek(position rpc.Position) error {
	to := kgo.EpochOffset{Epoch: -1, Offset: position.Offset}
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{position.Topic: {position.ID: to}})
	return nil
}

func (c *consumer) Poll(count int, timeout time.Duration) ([]rpc.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var seen []rpc.Record
	for len(seen) < count && ctx.Err() == nil {
		fetches := c.client.PollRecords(ctx, count-len(seen))
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.DeadlineExceeded) {
				return nil, failed.Err
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var headers []rpc.Header
			for _, header := range r.Headers {
				headers = append(headers, rpc.Header{Name: header.Key, Value: header.Value})
			}
			seen = append(seen, rpc.Consumed(r.Topic, r.Partition, r.Offset, r.Timestamp, r.Key, r.Value, headers))
		})
	}
	return seen, nil
}

func (c *consumer) Assignment() ([]rpc.Partition, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	var parts []rpc.Partition
	for part := range c.assigned {
		parts = append(parts, part)
	}
	return parts, nil
}

func (c *consumer) Commit(positions []rpc.Position) error {
	if positions == nil {
		return c.client.CommitUncommittedOffsets(limited())
	}
	if !c.direct {
		return c.commitAsMember(positions)
	}
	offsets := kadm.Offsets{}
	for _, position := range positions {
		offsets.AddOffset(position.Topic, position.ID, position.Offset, -1)
	}
	return c.admin.CommitAllOffsets(limited(), c.group, offsets)
}

func (c *consumer) commitAsMember(positions []rpc.Position) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for _, position := range positions {
		if offsets[position.Topic] == nil {
			offsets[position.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[position.Topic][position.ID] = kgo.EpochOffset{Epoch: -1, Offset: position.Offset}
	}
	var failed error
	c.client.CommitOffsetsSync(limited(), offsets, committed(&failed))
	return failed
}

func (c *consumer) Committed(partitions []rpc.Partition) ([]*int64, error) {
	stored, err := c.admin.FetchOffsets(limited(), c.group)
	if err != nil {
		return nil, err
	}
	found := make([]*int64, len(partitions))
	for index, part := range partitions {
		if offset, ok := stored.Lookup(part.Topic, part.ID); ok && offset.At >= 0 {
			found[index] = &offset.At
		}
	}
	return found, nil
}

func (c *consumer) OffsetsForTimes(times []rpc.Position) ([]*int64, error) {
	found := make([]*int64, len(times))
	for index, at := range times {
		listed, err := c.admin.ListOffsetsAfterMilli(limited(), at.Offset, at.Topic)
		if err != nil {
			return nil, err
		}
		offset, _ := listed.Lookup(at.Topic, at.ID)
		if offset.Err != nil {
			return nil, offset.Err
		}
		// kadm answers the end where there is none later, with no time.
		if offset.Timestamp >= 0 {
			found[index] = &offset.Offset
		}
	}
	return found, nil
}

func (c *consumer) Watermarks(partition rpc.Partition) (int64, int64, error) {
	starts, err := c.admin.ListStartOffsets(limited(), partition.Topic)
	if err != nil {
		return 0, 0, err
	}
	ends, err := c.admin.ListEndOffsets(limited(), partition.Topic)
	if err != nil {
		return 0, 0, err
	}
	low, _ := starts.Lookup(partition.Topic, partition.ID)
	high, _ := ends.Lookup(partition.Topic, partition.ID)
	return low.Offset, high.Offset, errors.Join(low.Err, high.Err)
}

func (c *consumer) Close() error {
	if c.client == nil {
		return nil
	}
	if c.commits && !c.direct {
		// That what was polled is done is known when an application polls again.
		_, _ = c.Poll(1, time.Millisecond)
	}
	c.client.Close()
	return nil
}
