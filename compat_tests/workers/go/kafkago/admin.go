package main

import (
	"errors"

	"github.com/segmentio/kafka-go"

	"woodpecker-gateway/workers/rpc"
)

func (w *worker) CreateTopic(topic string, partitions int, configs map[string]*string) error {
	asked := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for name, value := range configs {
		asked.ConfigEntries = append(asked.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: *value})
	}
	answer, err := ask(w.client.CreateTopics, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{asked}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (w *worker) CreatePartitions(topic string, count int) error {
	answer, err := ask(w.client.CreatePartitions, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(count)}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (w *worker) DeleteTopic(topic string) error {
	answer, err := ask(w.client.DeleteTopics, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (*worker) DeleteRecords(rpc.Position) (int64, error) { return 0, rpc.ErrNotOffered }

func (w *worker) ListTopics() (map[string]int, error) {
	answer, err := ask(w.client.Metadata, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, topic := range answer.Topics {
		counts[topic.Name] = len(topic.Partitions)
		err = errors.Join(err, topic.Error)
	}
	return counts, err
}

func (w *worker) AlterConfigs(topic string, configs map[string]*string) error {
	resource := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
	}
	for name, value := range configs {
		resource.Configs = append(resource.Configs, kafka.IncrementalAlterConfigsRequestConfig{
			Name: name, Value: *value, ConfigOperation: kafka.ConfigOperationSet,
		})
	}
	answer, err := ask(w.client.IncrementalAlterConfigs, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{resource},
	})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (w *worker) TopicConfigs(topic string) (map[string]string, error) {
	const setOnTopic = 1
	answer, err := ask(w.client.DescribeConfigs, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	})
	if err != nil {
		return nil, err
	}
	set := map[string]string{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		if entry.ConfigSource == setOnTopic {
			set[entry.ConfigName] = entry.ConfigValue
		}
	}
	return set, answer.Resources[0].Error
}

func (w *worker) ListGroups() ([]string, error) {
	answer, err := ask(w.client.ListGroups, &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, group := range answer.Groups {
		names = append(names, group.GroupID)
	}
	return names, answer.Error
}

func (w *worker) DescribeGroup(group string) (rpc.Group, error) {
	answer, err := ask(w.client.DescribeGroups, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return rpc.Group{}, err
	}
	found := answer.Groups[0]
	return rpc.Group{State: found.GroupState, MembersCount: len(found.Members)}, found.Error
}

func (w *worker) DeleteGroup(group string) error {
	answer, err := ask(w.client.DeleteGroups, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}
