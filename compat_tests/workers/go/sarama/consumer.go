package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"woodpecker-gateway/workers/rpc"
)

type consumer struct {
	*worker
	options rpc.ConsumerOptions
	config  *sarama.Config
	client  sarama.Client
	arrived chan *sarama.ConsumerMessage
	polled  map[rpc.Partition]int64 // the offset after the last record handed out

	// By itself.
	reader sarama.Consumer
	parts  map[rpc.Partition]sarama.PartitionConsumer

	// By group.
	group   sarama.ConsumerGroup
	stop    context.CancelFunc
	stopped chan struct{}
	lock    sync.Mutex
	session sarama.ConsumerGroupSession // nil between two generations
}

func (w *worker) NewConsumer(options rpc.ConsumerOptions) (rpc.Consumer, error) {
	config := w.config()
	if options.Start == "earliest" {
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
	}
	config.Consumer.Offsets.AutoCommit.Enable = options.Commits()
	if options.Extra.Assignor == "roundrobin" {
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRoundRobin()}
	}
	if ms := options.Extra.SessionTimeoutMS; ms > 0 {
		config.Consumer.Group.Session.Timeout = time.Duration(ms) * time.Millisecond
	}
	if ms := options.Extra.HeartbeatInterval; ms > 0 {
		config.Consumer.Group.Heartbeat.Interval = time.Duration(ms) * time.Millisecond
	}
	client, err := sarama.NewClient(w.seeds, config)
	return &consumer{
		worker: w, options: options, config: config, client: client,
		arrived: make(chan *sarama.ConsumerMessage),
		polled:  map[rpc.Partition]int64{},
		parts:   map[rpc.Partition]sarama.PartitionConsumer{},
	}, err
}

// Setup, Cleanup and ConsumeClaim: sarama calls them for each generation of the group.

func (c *consumer) Setup(session sarama.ConsumerGroupSession) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.session = session
	return nil
}

func (c *consumer) Cleanup(sarama.ConsumerGroupSession) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.session = nil
	return nil
}

func (c *consumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		select {
		case c.arrived <- message:
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func (c *consumer) current() (sarama.ConsumerGroupSession, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.session == nil {
		return nil, errors.New("not a member of the group")
	}
	return c.session, nil
}

func (c *consumer) Subscribe(topics []string) error {
	group, err := sarama.NewConsumerGroup(c.seeds, c.options.Group, c.config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.group, c.stop, c.stopped = group, stop, make(chan struct{})
	go func() {
		defer close(c.stopped)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, topics, c); err != nil {
				println("consume:", err.Error())
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return nil
}

func (c *consumer) Assign(positions []rpc.Position) error {
	var err error
	if c.reader, err = sarama.NewConsumerFromClient(c.client); err != nil {
		return err
	}
	for _, position := range positions {
		offset := position.Offset
		switch offset {
		case rpc.Beginning:
			offset = sarama.OffsetOldest
		case rpc.End:
			offset = sarama.OffsetNewest
		}
		if err := c.begin(position.Partition, offset); err != nil {
			return err
		}
	}
	return nil
}

func (c *consumer) begin(part rpc.Partition, offset int64) error {
	opened, err := c.reader.ConsumePartition(part.Topic, part.ID, offset)
	if err == nil {
		c.parts[part] = opened
	}
	return err
}

func (c *consumer) Seek(position rpc.Position) error {
	if err := c.parts[position.Partition].Close(); err != nil {
		return err
	}
	return c.begin(position.Partition, position.Offset)
}

func (c *consumer) Poll(count int, timeout time.Duration) ([]rpc.Record, error) {
	late := time.After(timeout)
	var seen []rpc.Record
	for len(seen) < count {
		message := c.next(late)
		if message == nil {
			return seen, nil
		}
		var headers []rpc.Header
		for _, header := range message.Headers {
			headers = append(headers, rpc.Header{Name: string(header.Key), Value: header.Value})
		}
		seen = append(seen, rpc.Consumed(
			message.Topic, message.Partition, message.Offset, message.Timestamp, message.Key, message.Value, headers,
		))
		c.polled[rpc.Partition{Topic: message.Topic, ID: message.Partition}] = message.Offset + 1
		if session, err := c.current(); err == nil && c.options.Commits() {
			session.MarkMessage(message, "")
		}
	}
	return seen, nil
}

// next is a record of any partition, or nil when it is late.
func (c *consumer) next(late <-chan time.Time) *sarama.ConsumerMessage {
	for {
		for _, part := range c.parts {
			select {
			case message := <-part.Messages():
				return message
			default:
			}
		}
		wait := late
		if len(c.parts) > 0 {
			wait = nil
		}
		select {
		case message := <-c.arrived:
			return message
		case <-late:
			return nil
		case <-pause(wait == nil):
		}
	}
}

// pause ends soon, or never: between two looks at several channels.
func pause(soon bool) <-chan time.Time {
	if soon {
		return time.After(2 * time.Millisecond)
	}
	return nil
}

func (c *consumer) Assignment() ([]rpc.Partition, error) {
	var parts []rpc.Partition
	for part := range c.parts {
		parts = append(parts, part)
	}
	if session, err := c.current(); err == nil {
		for topic, ids := range session.Claims() {
			for _, id := range ids {
				parts = append(parts, rpc.Partition{Topic: topic, ID: id})
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
	session, err := c.current()
	if err != nil {
		return err
	}
	for _, position := range positions {
		session.MarkOffset(position.Topic, position.ID, position.Offset, "")  // forwards
		session.ResetOffset(position.Topic, position.ID, position.Offset, "") // or backwards
	}
	session.Commit()
	return nil
}

func (c *consumer) commitAlone(positions []rpc.Position) error {
	manager, err := sarama.NewOffsetManagerFromClient(c.options.Group, c.client)
	if err != nil {
		return err
	}
	for _, position := range positions {
		part, err := manager.ManagePartition(position.Topic, position.ID)
		if err != nil {
			return err
		}
		part.MarkOffset(position.Offset, "")
	}
	manager.Commit()
	return manager.Close()
}

func (c *consumer) Committed(partitions []rpc.Partition) ([]*int64, error) {
	asked := map[string][]int32{}
	for _, part := range partitions {
		asked[part.Topic] = append(asked[part.Topic], part.ID)
	}
	var stored *sarama.OffsetFetchResponse
	err := c.administer(func(admin sarama.ClusterAdmin) (err error) {
		stored, err = admin.ListConsumerGroupOffsets(c.options.Group, asked)
		return err
	})
	if err != nil {
		return nil, err
	}
	found := make([]*int64, len(partitions))
	for index, part := range partitions {
		if block := stored.GetBlock(part.Topic, part.ID); block != nil && block.Offset >= 0 {
			found[index] = &block.Offset
		}
	}
	return found, nil
}

func (c *consumer) OffsetsForTimes(times []rpc.Position) ([]*int64, error) {
	found := make([]*int64, len(times))
	for index, at := range times {
		offset, err := c.client.GetOffset(at.Topic, at.ID, at.Offset)
		if err != nil {
			return nil, err
		}
		if offset >= 0 {
			found[index] = &offset
		}
	}
	return found, nil
}

func (c *consumer) Watermarks(part rpc.Partition) (int64, int64, error) {
	low, err := c.client.GetOffset(part.Topic, part.ID, sarama.OffsetOldest)
	if err != nil {
		return 0, 0, err
	}
	high, err := c.client.GetOffset(part.Topic, part.ID, sarama.OffsetNewest)
	return low, high, err
}

func (c *consumer) Close() error {
	for _, part := range c.parts {
		if err := part.Close(); err != nil {
			return err
		}
	}
	if c.group != nil {
		c.stop()
		<-c.stopped
		if err := c.group.Close(); err != nil {
			return err
		}
	}
	return c.client.Close()
}
