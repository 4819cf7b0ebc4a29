package main

import (
	"github.com/IBM/sarama"

	"woodpecker-gateway/workers/rpc"
)

// administer lends an admin client of its own.
func (w *worker) administer(act func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin(w.seeds, w.config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return act(admin)
}

func (w *worker) CreateTopic(topic string, partitions int, configs map[string]*string) error {
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: configs}
	return w.administer(func(admin sarama.ClusterAdmin) error { return admin.CreateTopic(topic, detail, false) })
}

func (w *worker) CreatePartitions(topic string, count int) error {
	return w.administer(func(admin sarama.ClusterAdmin) error {
		return admin.CreatePartitions(topic, int32(count), nil, false)
	})
}

func (w *worker) DeleteTopic(topic string) error {
	return w.administer(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic) })
}

func (w *worker) DeleteRecords(before rpc.Position) (int64, error) {
	err := w.administer(func(admin sarama.ClusterAdmin) error {
		return admin.DeleteRecords(before.Topic, map[int32]int64{before.ID: before.Offset})
	})
	return before.Offset, err // sarama does not hand out where the partition starts now
}

func (w *worker) ListTopics() (map[string]int, error) {
	counts := map[string]int{}
	return counts, w.administer(func(admin sarama.ClusterAdmin) error {
		topics, err := admin.ListTopics()
		for name, topic := range topics {
			counts[name] = int(topic.NumPartitions)
		}
		return err
	})
}

func (w *worker) AlterConfigs(topic string, configs map[string]*string) error {
	changes := map[string]sarama.IncrementalAlterConfigsEntry{}
	for name, value := range configs {
		changes[name] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: value}
	}
	return w.administer(func(admin sarama.ClusterAdmin) error {
		if w.version.IsAtLeast(sarama.V2_3_0_0) {
			return admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false)
		}
		return admin.AlterConfig(sarama.TopicResource, topic, configs, false)
	})
}

func (w *worker) TopicConfigs(topic string) (map[string]string, error) {
	set := map[string]string{}
	return set, w.administer(func(admin sarama.ClusterAdmin) error {
		entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		for _, entry := range entries {
			// Before version 1 of the request there is no source, only whether it is a default.
			if entry.Source == sarama.SourceTopic || entry.Source == sarama.SourceUnknown && !entry.Default {
				set[entry.Name] = entry.Value
			}
		}
		return err
	})
}

func (w *worker) ListGroups() ([]string, error) {
	names := []string{}
	err := w.administer(func(admin sarama.ClusterAdmin) error {
		groups, err := admin.ListConsumerGroups()
		for name := range groups {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

func (w *worker) DescribeGroup(group string) (rpc.Group, error) {
	var found rpc.Group
	err := w.administer(func(admin sarama.ClusterAdmin) error {
		groups, err := admin.DescribeConsumerGroups([]string{group})
		if err != nil {
			return err
		}
		found = rpc.Group{State: groups[0].State, MembersCount: len(groups[0].Members)}
		if groups[0].Err != sarama.ErrNoError {
			return groups[0].Err
		}
		return nil
	})
	return found, err
}

func (w *worker) DeleteGroup(group string) error {
	return w.administer(func(admin sarama.ClusterAdmin) error { return admin.DeleteConsumerGroup(group) })
}
