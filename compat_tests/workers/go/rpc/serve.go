package rpc

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
)

type request struct {
	ID   int             `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

type failure struct {
	Code *int   `json:"code"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// Serve answers requests until stdin ends.
func Serve(worker Worker, module string) {
	served := &server{worker: worker, module: module, producers: map[string]Producer{}, consumers: map[string]Consumer{}}
	// What a library prints must not break a line of answers.
	out := os.Stdout
	os.Stdout = os.Stderr
	lines := bufio.NewReaderSize(os.Stdin, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		if err == nil {
			err = served.answer(line, out)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
	}
}

type server struct {
	worker    Worker
	module    string
	producers map[string]Producer
	consumers map[string]Consumer
}

func (s *server) answer(line []byte, out io.Writer) error {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return err
	}
	reply := map[string]any{"id": asked.ID}
	result, err := s.call(asked)
	if err != nil {
		reply["error"] = s.describe(err)
	} else {
		reply["result"] = result
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

func (s *server) describe(err error) failure {
	if code, name, ok := s.worker.Fault(err); ok {
		return failure{&code, name, err.Error()}
	}
	return failure{nil, fmt.Sprintf("%T", err), err.Error()}
}

// arguments of all operations: each uses some.
type arguments struct {
	Producer   string             `json:"producer"`
	Consumer   string             `json:"consumer"`
	Records    []Record           `json:"records"`
	TimeoutS   float64            `json:"timeout_s"`
	Count      int                `json:"count"`
	Topics     json.RawMessage    `json:"topics"`
	Topic      string             `json:"topic"`
	Partition  int32              `json:"partition"`
	Offset     int64              `json:"offset"`
	Before     int64              `json:"before"`
	Positions  []Position         `json:"positions"`
	Times      []Position         `json:"times"`
	Partitions []Partition        `json:"partitions"`
	Configs    map[string]*string `json:"configs"`
	Group      string             `json:"group"`
}

func (s *server) call(asked request) (any, error) {
	switch asked.Op {
	case "producer_open":
		var options ProducerOptions
		if err := json.Unmarshal(asked.Args, &options); err != nil {
			return nil, err
		}
		producer, err := s.worker.NewProducer(options)
		s.producers[options.Name] = producer
		return nil, err
	case "consumer_open":
		var options ConsumerOptions
		if err := json.Unmarshal(asked.Args, &options); err != nil {
			return nil, err
		}
		consumer, err := s.worker.NewConsumer(options)
		s.consumers[options.Name] = consumer
		return nil, err
	}
	var args arguments
	if err := json.Unmarshal(asked.Args, &args); err != nil {
		return nil, err
	}
	if producer, ok := s.producers[args.Producer]; ok {
		return s.produce(producer, asked.Op, args)
	}
	if consumer, ok := s.consumers[args.Consumer]; ok {
		return s.consume(consumer, asked.Op, args)
	}
	return s.administer(asked.Op, args)
}

func (s *server) produce(producer Producer, op string, args arguments) (any, error) {
	switch op {
	case "produce":
		outcomes, err := producer.Produce(args.Records, seconds(args.TimeoutS, 90))
		if err != nil {
			return nil, err
		}
		answers := make([]map[string]any, len(outcomes))
		for index, outcome := range outcomes {
			if outcome.Err != nil {
				answers[index] = map[string]any{"error": s.describe(outcome.Err)}
				continue
			}
			answers[index] = map[string]any{
				"offset": outcome.Offset, "partition": outcome.Partition, "timestamp_ms": outcome.TimestampMS,
			}
		}
		return answers, nil
	case "producer_close":
		delete(s.producers, args.Producer)
		return nil, producer.Close()
	}
	return nil, fmt.Errorf("unknown operation %s", op)
}

func (s *server) consume(consumer Consumer, op string, args arguments) (any, error) {
	switch op {
	case "subscribe":
		var topics []string
		if err := json.Unmarshal(args.Topics, &topics); err != nil {
			return nil, err
		}
		return nil, consumer.Subscribe(topics)
	case "assign":
		return nil, consumer.Assign(args.Positions)
	case "seek":
		return nil, consumer.Seek(Position{Partition{args.Topic, args.Partition}, args.Offset})
	case "poll":
		records, err := consumer.Poll(args.Count, seconds(args.TimeoutS, 0))
		if records == nil {
			records = []Record{}
		}
		for index := range records {
			if records[index].Headers == nil {
				records[index].Headers = []Header{}
			}
		}
		return records, err
	case "assignment":
		partitions, err := consumer.Assignment()
		if partitions == nil {
			partitions = []Partition{}
		}
		return partitions, err
	case "commit":
		return nil, consumer.Commit(args.Positions)
	case "committed":
		return consumer.Committed(args.Partitions)
	case "offsets_for_times":
		return consumer.OffsetsForTimes(args.Times)
	case "watermarks":
		low, high, err := consumer.Watermarks(Partition{args.Topic, args.Partition})
		return []int64{low, high}, err
	case "consumer_close":
		delete(s.consumers, args.Consumer)
		return nil, consumer.Close()
	}
	return nil, fmt.Errorf("unknown operation %s", op)
}

func (s *server) administer(op string, args arguments) (any, error) {
	switch op {
	case "info":
		return map[string]string{"library": Version(s.module)}, nil
	case "create_topics":
		var topics []Partition // a pair too: the name, and how many
		if err := json.Unmarshal(args.Topics, &topics); err != nil {
			return nil, err
		}
		for _, topic := range topics {
			if err := s.worker.CreateTopic(topic.Topic, int(topic.ID), args.Configs); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "create_partitions":
		return nil, s.worker.CreatePartitions(args.Topic, args.Count)
	case "delete_topics":
		var topics []string
		if err := json.Unmarshal(args.Topics, &topics); err != nil {
			return nil, err
		}
		for _, topic := range topics {
			if err := s.worker.DeleteTopic(topic); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "delete_records":
		return s.worker.DeleteRecords(Position{Partition{args.Topic, args.Partition}, args.Before})
	case "list_topics":
		return s.worker.ListTopics()
	case "alter_configs":
		return nil, s.worker.AlterConfigs(args.Topic, args.Configs)
	case "topic_configs":
		return s.worker.TopicConfigs(args.Topic)
	case "list_groups":
		return s.worker.ListGroups()
	case "describe_group":
		return s.worker.DescribeGroup(args.Group)
	case "delete_group":
		return nil, s.worker.DeleteGroup(args.Group)
	}
	return nil, fmt.Errorf("unknown operation %s", op)
}

func seconds(given, otherwise float64) time.Duration {
	if given == 0 {
		given = otherwise
	}
	return time.Duration(given * float64(time.Second))
}

// Version is the name and version of a module that this program was built with.
func Version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Path + " " + dependency.Version
		}
	}
	return module
}
