package main

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"woodpecker-gateway/workers/rpc"
)

// committed notes the first error of a commit, of the request or of a partition.
func committed(failed *error) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		*failed = err
		if err != nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, part := range topic.Partitions {
				*failed = errors.Join(*failed, kerr.ErrorForCode(part.ErrorCode))
			}
		}
	}
}

func (w *worker) CreateTopic(topic string, partitions int, configs map[string]*string) error {
	_, err := w.admin.CreateTopic(limited(), int32(partitions), 1, configs, topic)
	return err
}

func (w *worker) CreatePartitions(topic string, count int) error {
	answers, err := w.admin.UpdatePartitions(limited(), count, topic)
	return errors.Join(err, answers.Error())
}

func (w *worker) DeleteTopic(topic string) error {
	_, err := w.admin.DeleteTopic(limited(), topic)
	return err
}

func (w *worker) DeleteRecords(before rpc.Position) (int64, error) {
	offsets := kadm.Offsets{}
	offsets.AddOffset(before.Topic, before.ID, before.Offset, -1)
	answers, err := w.admin.DeleteRecords(limited(), offsets)
	if err = errors.Join(err, answers.Error()); err != nil {
		return 0, err
	}
	return answers[before.Topic][before.ID].LowWatermark, nil
}

func (w *worker) ListTopics() (map[string]int, error) {
	fresh, err := kgo.NewClient(w.seeds) // a client remembers for seconds what there was
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	found, err := kadm.NewClient(fresh).ListTopics(limited())
	counts := map[string]int{}
	for name, topic := range found {
		counts[name] = len(topic.Partitions)
	}
	return counts, err
}

func (w *worker) AlterConfigs(topic string, configs map[string]*string) error {
	var changes []kadm.AlterConfig
	for name, value := range configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: value})
	}
	answers, err := w.admin.AlterTopicConfigs(limited(), changes, topic)
	for _, answer := range answers {
		err = errors.Join(err, answer.Err)
	}
	return err
}

func (w *worker) TopicConfigs(topic string) (map[string]string, error) {
	described, err := w.admin.DescribeTopicConfigs(limited(), topic)
	set := map[string]string{}
	for _, resource := range described {
		err = errors.Join(err, resource.Err)
		for _, config := range resource.Configs {
			if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
				set[config.Key] = config.MaybeValue()
			}
		}
	}
	return set, err
}

func (w *worker) ListGroups() ([]string, error) {
	groups, err := w.admin.ListGroups(limited())
	return groups.Groups(), err
}

func (w *worker) DescribeGroup(group string) (rpc.Group, error) {
	groups, err := w.admin.DescribeGroups(limited(), group)
	if err != nil {
		return rpc.Group{}, err
	}
	found := groups[group]
	return rpc.Group{State: found.State, MembersCount: len(found.Members)}, found.Err
}

func (w *worker) DeleteGroup(group string) error {
	_, err := w.admin.DeleteGroup(limited(), group)
	return err
}
