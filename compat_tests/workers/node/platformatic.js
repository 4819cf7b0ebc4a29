// @platformatic/kafka; clients run with its defaults. It has no consumer without a group: one that
// assigns partitions to itself joins a group that nobody else knows.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  Admin, ConfigResourceTypes, Consumer, IncrementalAlterConfigOperationTypes, MessagesStreamModes, Producer,
  defaultPartitioner,
} from '@platformatic/kafka'
import { Arrived, decode, describe, encode, serve } from './rpc.js'

const SET_ON_TOPIC = 1
const FIRST = -2n
const END = -1n

function fault (error) {
  if (/^Unknown topic /.test(error.message)) return 3 // it has no code for that
  for (const it of [error, ...(error.errors ?? []), error.cause]) {
    if (it == null) continue
    if (typeof it.apiCode === 'number') return it.apiCode
    if (it !== error) {
      const inner = fault(it)
      if (inner != null) return inner
    }
  }
  return null
}

class Worker {
  producers = new Map()
  consumers = new Map()

  constructor (bootstrap) {
    this.basics = { clientId: 'worker', bootstrapBrokers: [bootstrap] }
    this.admin = new Admin(this.basics)
  }

  info () {
    const { version } = JSON.parse(readFileSync(new URL('./node_modules/@platformatic/kafka/package.json', import.meta.url)))
    return { library: `@platformatic/kafka ${version}` }
  }

  // Producers

  async producer_open ({ name, codec, idempotent, extra = {} }) {
    const chosen = new WeakMap()
    const counts = new Map()
    let turn = 0
    const partitioner = (message, key) => {
      const partition = (key ? defaultPartitioner(message, key) : turn++) % counts.get(message.topic)
      chosen.set(message, partition)
      return partition
    }
    const producer = new Producer({
      ...this.basics,
      autocreateTopics: true,
      partitioner,
      ...(codec ? { compression: codec } : {}),
      ...(idempotent == null ? {} : { idempotent }),
      ...(extra.acks == null ? {} : { acks: extra.acks }),
      ...(extra.transactional_id ? { transactionalId: extra.transactional_id, idempotent: true } : {}),
    })
    if (extra.transactional_id) await producer.beginTransaction()
    this.producers.set(name, { producer, chosen, counts })
  }

  async produce ({ producer: name, records }) {
    const { producer, chosen, counts } = this.producers.get(name)
    const messages = records.map(record => ({
      topic: record.topic,
      key: decode(record.key) ?? undefined,
      value: decode(record.value) ?? undefined,
      headers: new Map(record.headers.map(([header, text]) => [Buffer.from(header), decode(text)])),
      timestamp: BigInt(record.timestamp_ms ?? Date.now()),
      ...(record.partition == null ? {} : { partition: record.partition }),
    }))
    let places
    try {
      for (const topic of new Set(records.filter(it => it.partition == null).map(it => it.topic))) {
        counts.set(topic, (await producer.metadata({ topics: [topic] })).topics.get(topic).partitionsCount)
      }
      places = (await producer.send({ messages })).offsets ?? []
    } catch (error) {
      return records.map(() => ({ error: describe(error, fault) }))
    }
    const next = new Map(places.map(place => [`${place.topic}\n${place.partition}`, Number(place.offset)]))
    return messages.map(message => {
      const partition = message.partition ?? chosen.get(message)
      const key = `${message.topic}\n${partition}`
      const offset = next.get(key) ?? -1
      next.set(key, offset + 1)
      return { offset, partition, timestamp_ms: Number(message.timestamp) }
    })
  }

  async producer_close ({ producer }) {
    await this.producers.get(producer).producer.close()
    this.producers.delete(producer)
  }

  // Consumers

  consumer_open ({ name, group, start, auto_commit: autoCommit, extra = {} }) {
    const times = extra.session_timeout_ms
      ? { sessionTimeout: extra.session_timeout_ms, heartbeatInterval: extra.heartbeat_interval_ms }
      : {}
    const bounds = extra.partition_bytes_max ? { maxBytesPerPartition: extra.partition_bytes_max } : {}
    const open = groupId => new Consumer({ ...this.basics, groupId, maxWaitTime: 200, ...times, ...bounds })
    this.consumers.set(name, {
      consumer: open(group ?? randomUUID()),
      open,
      start,
      commits: group != null && autoCommit !== false,
      arrived: new Arrived(),
      places: null, // of partitions that it assigned itself, where to read from
    })
  }

  async read (state, options) {
    state.stream = await (state.reader ?? state.consumer).consume({ autocommit: state.commits, ...options })
    state.stream.on('error', error => console.error('stream:', error))
    state.stream.on('data', message => {
      const record = asRecord(message)
      if (state.places) {
        const place = state.places.find(([topic, partition]) => topic === record.topic && partition === record.partition)
        if (!place || record.offset < place[2]) return
        place[2] = record.offset + 1
      }
      state.arrived.records.push(record)
    })
  }

  async subscribe ({ consumer, topics }) {
    const state = this.consumers.get(consumer)
    const fallbackMode = state.start === 'earliest' ? 'earliest' : 'latest'
    await this.read(state, { topics, mode: MessagesStreamModes.COMMITTED, fallbackMode })
  }

  async assign ({ consumer, positions }) {
    const state = this.consumers.get(consumer)
    state.places = await Promise.all(positions.map(async ([topic, partition, wanted]) => {
      if (typeof wanted === 'number') return [topic, partition, wanted]
      const [low, high] = await this.watermarks({ topic, partition })
      return [topic, partition, wanted === 'end' ? high : low]
    }))
    state.reader = state.open(randomUUID())
    await this.readPlaces(state)
  }

  async readPlaces (state) {
    const topics = [...new Set(state.places.map(([topic]) => topic))]
    const offsets = []
    for (const topic of topics) {
      const count = (await this.list_topics())[topic] ?? 1
      for (let partition = 0; partition < count; partition++) {
        const place = state.places.find(it => it[0] === topic && it[1] === partition)
        offsets.push({ topic, partition, offset: BigInt(place?.[2] ?? 0) })
      }
    }
    await this.read(state, { topics, mode: MessagesStreamModes.MANUAL, offsets, autocommit: false })
  }

  async seek ({ consumer, topic, partition, offset }) {
    const state = this.consumers.get(consumer)
    await state.stream.close()
    state.arrived.drop(topic, partition)
    // What was read ahead of the others is not read again.
    state.places.find(it => it[0] === topic && it[1] === partition)[2] = offset
    await this.readPlaces(state)
  }

  poll ({ consumer, count, timeout_s: timeoutS }) {
    return this.consumers.get(consumer).arrived.poll(count, timeoutS)
  }

  assignment ({ consumer }) {
    const state = this.consumers.get(consumer)
    if (state.places) return state.places.map(([topic, partition]) => [topic, partition])
    return (state.consumer.assignments ?? [])
      .flatMap(({ topic, partitions }) => partitions.map(partition => [topic, partition]))
  }

  async commit ({ consumer, positions }) {
    const state = this.consumers.get(consumer)
    const asked = positions ?? state.arrived.positions()
    if (!state.places) {
      const offsets = asked.map(([topic, partition, offset]) =>
        ({ topic, partition, offset: BigInt(offset), leaderEpoch: -1 }))
      return state.consumer.commit({ offsets })
    }
    for (const [topic, partition, offset] of asked) {
      await this.admin.alterConsumerGroupOffsets({
        groupId: state.consumer.groupId,
        topics: [{ name: topic, partitionOffsets: [{ partition, offset: BigInt(offset) }] }],
      })
    }
  }

  async committed ({ consumer, partitions }) {
    const { groupId } = this.consumers.get(consumer).consumer
    const topics = [...new Set(partitions.map(([topic]) => topic))].map(name =>
      ({ name, partitionIndexes: partitions.filter(it => it[0] === name).map(it => it[1]) }))
    const [found] = await this.admin.listConsumerGroupOffsets({ groups: [{ groupId, topics }] })
    return partitions.map(([topic, partition]) => {
      const stored = found.topics.find(it => it.name === topic)?.partitions.find(it => it.partitionIndex === partition)
      return stored && stored.committedOffset >= 0n ? Number(stored.committedOffset) : null
    })
  }

  async listed (topic, partition, timestamp) {
    const [found] = await this.admin.listOffsets({
      topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }],
    })
    return Number(found.partitions[0].offset)
  }

  async offsets_for_times ({ times }) {
    return Promise.all(times.map(async ([topic, partition, ms]) => {
      const offset = await this.listed(topic, partition, BigInt(ms))
      return offset >= 0 ? offset : null
    }))
  }

  async watermarks ({ topic, partition }) {
    return [await this.listed(topic, partition, FIRST), await this.listed(topic, partition, END)]
  }

  async consumer_close ({ consumer }) {
    const state = this.consumers.get(consumer)
    await state.stream?.close()
    await state.reader?.close(true)
    await state.consumer.close(true)
    this.consumers.delete(consumer)
  }

  // Administration

  async create_topics ({ topics, configs }) {
    const settings = Object.entries(configs ?? {}).map(([name, value]) => ({ name, value }))
    for (const [topic, partitions] of topics) {
      await this.admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: settings })
    }
  }

  create_partitions ({ topic, count }) {
    return this.admin.createPartitions({ topics: [{ name: topic, count }] })
  }

  delete_topics ({ topics }) {
    return this.admin.deleteTopics({ topics })
  }

  async delete_records ({ topic, partition, before }) {
    const topics = [{ name: topic, partitions: [{ partition, offset: BigInt(before) }] }]
    const [found] = await this.admin.deleteRecords({ topics })
    return Number(found.partitions[0].lowWatermark)
  }

  async list_topics () {
    const topics = await this.admin.listTopics()
    if (topics.length === 0) return {}
    const metadata = await this.admin.metadata({ topics, forceUpdate: true })
    return Object.fromEntries([...metadata.topics].map(([name, topic]) => [name, topic.partitionsCount]))
  }

  async alter_configs ({ topic, configs }) {
    const changes = Object.entries(configs).map(([name, value]) =>
      ({ name, value, configOperation: IncrementalAlterConfigOperationTypes.SET }))
    const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs: changes }]
    await this.admin.incrementalAlterConfigs({ resources })
  }

  async topic_configs ({ topic }) {
    const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }]
    const [found] = await this.admin.describeConfigs({ resources })
    const set = found.configs.filter(it => it.configSource === SET_ON_TOPIC)
    return Object.fromEntries(set.map(it => [it.name, it.value]))
  }

  async list_groups () {
    return [...(await this.admin.listGroups()).keys()]
  }

  async describe_group ({ group }) {
    const found = (await this.admin.describeGroups({ groups: [group] })).get(group)
    const state = found.state.toLowerCase() // it spells them its own way
    return { state: state[0].toUpperCase() + state.slice(1), members_count: found.members.size }
  }

  delete_group ({ group }) {
    return this.admin.deleteGroups({ groups: [group] })
  }
}

function asRecord (message) {
  return {
    topic: message.topic,
    partition: message.partition,
    offset: Number(message.offset),
    timestamp_ms: Number(message.timestamp),
    key: encode(message.key),
    value: encode(message.value),
    headers: message.headerEntries.map(([name, value]) => [String(name), encode(value)]),
  }
}

await serve(new Worker(process.argv[2]), fault)
