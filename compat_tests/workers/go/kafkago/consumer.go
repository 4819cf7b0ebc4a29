package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"woodpecker-gateway/workers/rpc"
)

type consumer struct {
	*worker
	options rpc.ConsumerOptions
	polled  map[rpc.Partition]int64 // the offset after the last record handed out

	// By itself: a reader for each partition.
	readers []*kafka.Reader

	// By group: its generations, of which each has readers of its own.
	group      *kafka.ConsumerGroup
	ended      chan struct{}
	arrived    chan kafka.Message
	lock       sync.Mutex
	generation *kafka.Generation // nil between two of them
}

func (w *worker) NewConsumer(options rpc.ConsumerOptions) (rpc.Consumer, error) {
	return &consumer{
		worker: w, options: options, polled: map[rpc.Partition]int64{}, arrived: make(chan kafka.Message),
	}, nil
}

func (c *consumer) reader(part rpc.Partition, offset int64) (*kafka.Reader, error) {
	made := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.bootstrap}, Topic: part.Topic, Partition: int(part.ID), MaxBytes: 16 << 20,
		MaxWait: 200 * time.Millisecond, // a reader cannot be closed while it waits for more
	})
	return made, made.SetOffset(offset)
}

func (c *consumer) Subscribe(topics []string) error {
	config := kafka.ConsumerGroupConfig{ID: c.options.Group, Brokers: []string{c.bootstrap}, Topics: topics}
	config.StartOffset = kafka.LastOffset
	if c.options.Start == "earliest" {
		config.StartOffset = kafka.FirstOffset
	}
	if ms := c.options.Extra.SessionTimeoutMS; ms > 0 {
		config.SessionTimeout = time.Duration(ms) * time.Millisecond
	}
	if ms := c.options.Extra.HeartbeatInterval; ms > 0 {
		config.HeartbeatInterval = time.Duration(ms) * time.Millisecond
	}
	var err error
	if c.group, err = kafka.NewConsumerGroup(config); err != nil {
		return err
	}
	c.ended = make(chan struct{})
	go c.follow()
	return nil
}

// follow starts readers for each generation; they end with it.
func (c *consumer) follow() {
	defer close(c.ended)
	for {
		generation, err := c.group.Next(context.Background())
		if errors.Is(err, kafka.ErrGroupClosed) {
			return
		}
		if err != nil {
			println("next generation:", err.Error())
			continue
		}
		c.become(generation)
		generation.Start(func(ctx context.Context) {
			<-ctx.Done()
			c.become(nil)
		})
		for topic, parts := range generation.Assignments {
			for _, part := range parts {
				generation.Start(func(ctx context.Context) {
					c.read(ctx, rpc.Partition{Topic: topic, ID: int32(part.ID)}, part.Offset)
				})
			}
		}
	}
}

func (c *consumer) become(generation *kafka.Generation) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.generation = generation
}

func (c *consumer) current() (*kafka.Generation, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.generation == nil {
		return nil, errors.New("not a member of the group")
	}
	return c.generation, nil
}

func (c *consumer) read(ctx context.Context, part rpc.Partition, offset int64) {
	reader, err := c.reader(part, offset)
	if err != nil {
		println("reader:", err.Error())
		return
	}
	defer reader.Close()
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			if ctx.Err() == nil {
				println("fetch:", err.Error())
			}
			return
		}
		select {
		case c.arrived <- message:
		case <-ctx.Done():
			return
		}
	}
}

func (c *consumer) Assign(positions []rpc.Position) error {
	for _, position := range positions {
		offset := position.Offset
		switch offset {
		case rpc.Beginning:
			offset = kafka.FirstOffset
		case rpc.End:
			_, high, err := c.Watermarks(position.Partition)
			if err != nil {
				return err
			}
			offset = high
		}
		reader, err := c.reader(position.Partition, offset)
		if err != nil {
			return err
		}
		c.readers = append(c.readers, reader)
	}
	return nil
}

func (c *consumer) Seek(position rpc.Position) error {
	for _, reader := range c.readers {
		config := reader.Config()
		if config.Topic == position.Topic && config.Partition == int(position.ID) {
			return reader.SetOffset(position.Offset)
		}
	}
	return errors.New("not assigned")
}

func (c *consumer) Poll(count int, timeout time.Duration) ([]rpc.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var seen []rpc.Record
	for len(seen) < count && ctx.Err() == nil {
		message, err := c.next(ctx)
		if _, _, fault := c.Fault(err); fault {
			return nil, err
		}
		if err != nil { // late, or the connection was lost: a reader makes another
			continue
		}
		var headers []rpc.Header
		for _, header := range message.Headers {
			headers = append(headers, rpc.Header{Name: header.Key, Value: header.Value})
		}
		part := int32(message.Partition)
		c.polled[rpc.Partition{Topic: message.Topic, ID: part}] = message.Offset + 1
		seen = append(seen, rpc.Consumed(
			message.Topic, part, message.Offset, message.Time, message.Key, message.Value, headers,
		))
	}
	if len(seen) > 0 && c.group != nil && c.options.Commits() {
		if err := c.Commit(nil); err != nil {
			println("commit:", err.Error()) // another generation has begun: it is read again
		}
	}
	return seen, nil
}

// next asks one reader after the other, or waits for the generation's.
func (c *consumer) next(ctx context.Context) (kafka.Message, error) {
	if c.group != nil {
		select {
		case message := <-c.arrived:
			return message, nil
		case <-ctx.Done():
			return kafka.Message{}, ctx.Err()
		}
	}
	turn, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	reader := c.readers[0]
	c.readers = append(c.readers[1:], reader)
	return reader.FetchMessage(turn)
}

func (c *consumer) Assignment() ([]rpc.Partition, error) {
	var parts []rpc.Partition
	for _, reader := range c.readers {
		parts = append(parts, rpc.Partition{Topic: reader.Config().Topic, ID: int32(reader.Config().Partition)})
	}
	if generation, err := c.current(); err == nil {
		for topic, given := range generation.Assignments {
			for _, part := range given {
				parts = append(parts, rpc.Partition{Topic: topic, ID: int32(part.ID)})
			}
		}
	}
	return parts, nil
}

func (c *consumer) Commit(positions []rpc.Position) error {
	if positions == nil {
		for part, offset := range c.polled {
			positions = append(positions, rpc.Position{Partition: part, Offset: offset})
		}
	}
	if c.group == nil {
		return c.commitAlone(positions)
	}
	generation, err := c.current()
	if err != nil {
		return err
	}
	offsets := map[string]map[int]int64{}
	for _, position := range positions {
		if offsets[position.Topic] == nil {
			offsets[position.Topic] = map[int]int64{}
		}
		offsets[position.Topic][int(position.ID)] = position.Offset
	}
	return generation.CommitOffsets(offsets)
}

func (c *consumer) commitAlone(positions []rpc.Position) error {
	asked := &kafka.OffsetCommitRequest{
		GroupID: c.options.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{},
	}
	for _, position := range positions {
		asked.Topics[position.Topic] = append(asked.Topics[position.Topic], kafka.OffsetCommit{
			Partition: int(position.ID), Offset: position.Offset,
		})
	}
	answer, err := ask(c.client.OffsetCommit, asked)
	if err != nil {
		return err
	}
	for _, parts := range answer.Topics {
		for _, part := range parts {
			err = errors.Join(err, part.Error)
		}
	}
	return err
}

func (c *consumer) Committed(partitions []rpc.Partition) ([]*int64, error) {
	found := make([]*int64, len(partitions))
	for index, part := range partitions {
		answer, err := ask(c.client.OffsetFetch, &kafka.OffsetFetchRequest{
			GroupID: c.options.Group, Topics: map[string][]int{part.Topic: {int(part.ID)}},
		})
		if err != nil {
			return nil, err
		}
		stored := answer.Topics[part.Topic][0]
		if err := errors.Join(answer.Error, stored.Error); err != nil {
			return nil, err
		}
		if stored.CommittedOffset >= 0 {
			found[index] = &stored.CommittedOffset
		}
	}
	return found, nil
}

func (c *consumer) listed(part rpc.Partition, asked ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	answer, err := ask(c.client.ListOffsets, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{part.Topic: asked},
	})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	offsets := answer.Topics[part.Topic][0]
	return offsets, offsets.Error
}

func (c *consumer) OffsetsForTimes(times []rpc.Position) ([]*int64, error) {
	found := make([]*int64, len(times))
	for index, at := range times {
		asked := kafka.TimeOffsetOf(int(at.ID), time.UnixMilli(at.Offset))
		offsets, err := c.listed(at.Partition, asked)
		if err != nil {
			return nil, err
		}
		for offset := range offsets.Offsets {
			if offset >= 0 {
				found[index] = &offset
			}
		}
	}
	return found, nil
}

func (c *consumer) Watermarks(part rpc.Partition) (int64, int64, error) {
	id := int(part.ID)
	offsets, err := c.listed(part, kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id))
	return offsets.FirstOffset, offsets.LastOffset, err
}

func (c *consumer) Close() error {
	for _, reader := range c.readers {
		if err := reader.Close(); err != nil {
			return err
		}
	}
	if c.group == nil {
		return nil
	}
	err := c.group.Close()
	<-c.ended
	return err
}
