// The dashboards, typed by Grafana's own schema. `node dashboards.js DIR` writes each as JSON; deploy/checks/metrics.sh compiles this,
// compares what it writes with dashboards/*.json (UPDATE=1 writes them anew), and asks a real Prometheus every query.
import { writeFileSync } from 'node:fs';
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  type Dashboard,
  DashboardCursorSync,
  type DataSourceRef,
  type FieldConfigSource,
  GraphDrawStyle,
  LegendDisplayMode,
  type Panel,
  PercentChangeColorMode,
  type RowPanel,
  SortOrder,
  StackingMode,
  type Threshold,
  ThresholdsMode,
  TooltipDisplayMode,
  VariableHide,
  VizOrientation,
} from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as GraphFieldConfig,
  Options as GraphOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

const datasource: DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** What a panel asks Prometheus: an expression, and what its lines are called. */
type Query = [expression: string, legend: string];

interface Look {
  unit?: string;
  max?: number;
  decimals?: number;
  stacked?: boolean;
  /** Values from which it is yellow, and red; downwards when the second is smaller. */
  limits?: [number, number];
  /** One sentence on what it means and when to worry. */
  about: string;
}

function thresholds(limits?: [number, number]): { mode: ThresholdsMode; steps: Threshold[] } {
  const step = (value: number | null, color: string) => ({ value, color }) as Threshold;
  if (!limits) return { mode: ThresholdsMode.Absolute, steps: [step(null, 'text')] };
  const [warn, bad] = limits;
  const steps =
    warn <= bad
      ? [step(null, 'green'), step(warn, 'yellow'), step(bad, 'red')]
      : [step(null, 'red'), step(bad, 'yellow'), step(warn, 'green')];
  return { mode: ThresholdsMode.Absolute, steps };
}

const targets = (queries: Query[]) =>
  queries.map(([expr, legendFormat], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource,
    expr,
    legendFormat,
  }));

/** A number, as it is now. */
function stat(title: string, query: string, look: Look): Panel {
  const options: StatOptions = {
    colorMode: BigValueColorMode.Value,
    graphMode: BigValueGraphMode.Area,
    justifyMode: BigValueJustifyMode.Auto,
    orientation: VizOrientation.Auto,
    percentChangeColorMode: PercentChangeColorMode.Standard,
    reduceOptions: { calcs: ['lastNotNull'] },
    showPercentChange: false,
    textMode: BigValueTextMode.Auto,
    wideLayout: true,
  };
  return {
    type: 'stat',
    title,
    description: look.about,
    datasource,
    gridPos: { x: 0, y: 0, w: 4, h: 4 },
    targets: targets([[query, '']]),
    options: options as unknown as Record<string, unknown>,
    fieldConfig: {
      defaults: { unit: look.unit, decimals: look.decimals, thresholds: thresholds(look.limits) },
      overrides: [],
    },
  };
}

/** Lines over time. */
function graph(title: string, queries: Query[], look: Look): Panel {
  const options: GraphOptions = {
    legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] },
    tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
  };
  const custom: GraphFieldConfig = {
    drawStyle: GraphDrawStyle.Line,
    lineWidth: 1,
    fillOpacity: look.stacked ? 25 : 5,
    stacking: { mode: look.stacked ? StackingMode.Normal : StackingMode.None, group: 'A' },
  };
  const fieldConfig: FieldConfigSource = {
    defaults: {
      unit: look.unit,
      min: 0,
      max: look.max,
      custom: custom as Record<string, unknown>,
      thresholds: thresholds(look.limits),
    },
    overrides: [],
  };
  return {
    type: 'timeseries',
    title,
    description: look.about,
    datasource,
    gridPos: { x: 0, y: 0, w: 8, h: 8 },
    targets: targets(queries),
    options: options as unknown as Record<string, unknown>,
    fieldConfig,
  };
}

/** Panels below a heading, from left to right. */
type Section = [title: string, panels: Panel[]];

function dashboard(name: string, title: string, description: string, sections: Section[]): Dashboard {
  const panels: (Panel | RowPanel)[] = [];
  let [id, x, y, rowHeight] = [1, 0, 0, 0];
  const newLine = () => {
    [x, y, rowHeight] = [0, y + rowHeight, 0];
  };
  for (const [heading, ofSection] of sections) {
    newLine();
    panels.push({ type: 'row', id: id++, title: heading, collapsed: false, gridPos: { x: 0, y, w: 24, h: 1 }, panels: [] });
    y += 1;
    for (const panel of ofSection) {
      const { w, h } = panel.gridPos!;
      if (x + w > 24) newLine();
      panels.push({ ...panel, id: id++, gridPos: { x, y, w, h } });
      x += w;
      rowHeight = Math.max(rowHeight, h);
    }
  }
  return {
    uid: `plumbline-${name}`,
    title: `Plumbline: ${title}`,
    description,
    tags: ['plumbline'],
    timezone: 'browser',
    editable: true,
    graphTooltip: DashboardCursorSync.Crosshair,
    refresh: '30s',
    schemaVersion: 39,
    time: { from: 'now-3h', to: 'now' },
    links: [
      {
        type: 'dashboards',
        title: 'Plumbline',
        tags: ['plumbline'],
        asDropdown: true,
        icon: 'external link',
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        tooltip: '',
        url: '',
      },
    ],
    templating: {
      list: [
        {
          type: 'datasource',
          name: 'datasource',
          label: 'Prometheus',
          query: 'prometheus',
          hide: VariableHide.dontHide,
          skipUrlSync: false,
        },
      ],
    },
    panels,
  };
}

const window = '$__rate_interval';
const rate = (series: string, by = '') => `sum ${by ? `by (${by}) ` : ''}(rate(${series}[${window}]))`;
const quantile = (q: number, family: string, by = '') =>
  `histogram_quantile(${q}, ${rate(`${family}_bucket`, by ? `le, ${by}` : 'le')})`;
const quantiles = (family: string): Query[] => [
  [quantile(0.5, family), 'p50'],
  [quantile(0.95, family), 'p95'],
  [quantile(0.99, family), 'p99'],
];
const PER_SECOND = 'ops';
const SHARE = 'percentunit';

const oldestEvent = () =>
  stat('Oldest event waiting', 'max(plumbline_outbox_age_seconds)', {
    unit: 's',
    limits: [10, 60],
    about: 'The age of the oldest accepted event that is not recorded as deliveries. Below a second when all is well.',
  });
const oldestDue = () =>
  stat('Oldest delivery due', 'max(plumbline_deliveries_due_age_seconds)', {
    unit: 's',
    limits: [30, 120],
    about: 'For how long a delivery has been due that is not on record as attempted.',
  });
const outcomes = () =>
  graph('Attempts by outcome', [[rate('plumbline_attempts_total', 'outcome') + ' > 0 or ' + rate('plumbline_attempts_total'), '{{outcome}}']], {
    unit: PER_SECOND,
    stacked: true,
    about: 'How receivers answered. 2xx is a yes; timeouts and refused connections of everybody at once are ours.',
  });
const firstAttempts = () =>
  graph('Acceptance to first attempt', quantiles('plumbline_event_to_first_attempt_seconds'), {
    unit: 's',
    about: 'What the objective is about: 99.9 % within 5 s.',
  });

const overview = dashboard('overview', 'overview', 'Do we keep our promises, and is anything waiting?', [
  [
    'Now',
    [
      oldestEvent(),
      oldestDue(),
      stat('First attempts within 5 s', '1 - plumbline:first_attempts_late:ratio_rate5m', {
        unit: SHARE,
        decimals: 2,
        limits: [0.999, 0.99],
        about: 'The share in the last five minutes. The objective is 99.9 %.',
      }),
      stat('Dead messages', 'max(plumbline_dead_messages)', {
        limits: [1, 1],
        about: 'Messages that could not be read. `plumbline dead list` says why.',
      }),
      stat('Alerts', 'count(ALERTS{alertname=~"Plumbline.*", alertstate="firing"}) or vector(0)', {
        limits: [1, 1],
        about: 'Alerts that fire now; each has an entry in docs/RUNBOOK.md.',
      }),
      stat('Not ready', 'count(plumbline_ready == 0) or vector(0)', {
        limits: [1, 1],
        about: 'Processes that are not ready: starting, draining, or without database or broker.',
      }),
    ],
  ],
  [
    'Objectives over 30 days',
    [
      stat('First attempts within 5 s', '1 - plumbline:first_attempts_late:ratio_rate30d', {
        unit: SHARE,
        decimals: 3,
        limits: [0.999, 0.995],
        about: 'The share of first attempts that began within 5 s of their event’s acceptance.',
      }),
      stat('Error budget left', '1 - plumbline:first_attempts_late:ratio_rate30d / 0.001', {
        unit: SHARE,
        decimals: 1,
        limits: [0.25, 0],
        about: 'What is left of the 0.1 % that may be late in 30 days; below 0 the objective is missed.',
      }),
      stat('Requests not answered 5xx', '1 - plumbline:requests_failed:ratio_rate30d', {
        unit: SHARE,
        decimals: 3,
        limits: [0.999, 0.995],
        about: 'The share of the management API’s requests that were not our failure.',
      }),
      stat('Error budget left', '1 - plumbline:requests_failed:ratio_rate30d / 0.001', {
        unit: SHARE,
        decimals: 1,
        limits: [0.25, 0],
        about: 'What is left of the 0.1 % of requests that may be answered 5xx in 30 days.',
      }),
      graph(
        'Burn rate',
        ['1h', '6h', '3d'].flatMap((w): Query[] => [
          [`plumbline:first_attempts_late:ratio_rate${w} / 0.001`, `first attempts, ${w}`],
          [`plumbline:requests_failed:ratio_rate${w} / 0.001`, `requests, ${w}`],
        ]),
        { about: '1 spends the budget in exactly 30 days; 14.4 over an hour wakes somebody.' },
      ),
    ],
  ],
  [
    'Traffic',
    [
      graph(
        'Events and attempts',
        [
          ['plumbline:events_accepted:rate5m', 'events accepted'],
          [rate('plumbline_events_fanned_out_total'), 'events fanned out'],
          [rate('plumbline_attempts_total'), 'attempts'],
        ],
        { unit: PER_SECOND, about: 'Accepted and fanned out are the same but for what waits.' },
      ),
      firstAttempts(),
      outcomes(),
    ],
  ],
]);

const pipeline = dashboard('pipeline', 'delivery pipeline', 'Where does an event spend its time?', [
  [
    'Waiting',
    [
      oldestEvent(),
      oldestDue(),
      stat('Oldest not published', 'max(plumbline_outbox_unsent_age_seconds)', {
        unit: 's',
        limits: [5, 30],
        about: 'The age of the oldest accepted event that the broker has not confirmed: the relay publishes it.',
      }),
      stat('Events in the outbox', 'max(plumbline_outbox_messages)', { about: 'Accepted and not recorded, up to 100,000.' }),
      stat('Deliveries due', 'max(plumbline_deliveries_due)', { about: 'Due and not on record as attempted, up to 100,000.' }),
      stat('First attempts, p99', 'plumbline:event_to_first_attempt_seconds:p99_5m', {
        unit: 's',
        limits: [1, 5],
        about: 'Over the last five minutes.',
      }),
    ],
  ],
  [
    'Intake',
    [
      graph(
        'Events accepted',
        [
          [rate('plumbline_events_accepted_total'), 'events'],
          [rate('plumbline_intake_commits_total'), 'commits'],
          [rate('plumbline_events_unsent_total'), 'left to the relay'],
        ],
        { unit: PER_SECOND, about: 'Events over commits is the batch. What is left to the relay was not confirmed by the broker.' },
      ),
      graph(
        'A commit',
        [[`${rate('plumbline_intake_commit_seconds_total')} / ${rate('plumbline_intake_commits_total')}`, 'mean']],
        { unit: 's', about: 'The database’s speed as the intake sees it.' },
      ),
      graph('Requests waiting for a commit', [['sum by (instance) (plumbline_intake_waiting_requests)', '{{instance}}']], {
        about: 'Grows when the database is slower than what arrives.',
      }),
      graph('Requests by status', [[rate('plumbline_http_requests_total', 'status'), '{{status}}']], {
        unit: PER_SECOND,
        stacked: true,
        about: '5xx is ours: the error budget of requests.',
      }),
      graph('Request duration by route, p99', [[quantile(0.99, 'plumbline_http_request_duration_seconds', 'route'), '{{route}}']], {
        unit: 's',
        about: 'From a request’s head to its response’s.',
      }),
    ],
  ],
  [
    'Outbox and queues',
    [
      graph(
        'Age of the oldest',
        [
          ['max(plumbline_outbox_age_seconds)', 'not recorded'],
          ['max(plumbline_outbox_unsent_age_seconds)', 'not published'],
        ],
        { unit: 's', about: 'The first alone: dispatchers do not keep up. Both: the broker does not take messages.' },
      ),
      graph('Messages ready', [['max by (queue) (plumbline_queue_messages_ready)', '{{queue}}']], {
        about: 'What waits for a dispatcher. A message of the events queues holds up to 64 events.',
      }),
      graph('Acceptance to fan-out', quantiles('plumbline_event_to_fan_out_seconds'), {
        unit: 's',
        about: 'What commit, publication and queue cost.',
      }),
      graph(
        'Published by the relay',
        [
          [rate('plumbline_relay_unsent_published_total'), 'never published before'],
          [rate('plumbline_relay_lost_published_total'), 'published again: lost'],
        ],
        { unit: PER_SECOND, about: 'The second is above 0 only when something loses messages.' },
      ),
    ],
  ],
  [
    'Attempt',
    [
      firstAttempts(),
      graph('Attempts in flight', [['sum by (instance) (plumbline_attempts_in_flight)', '{{instance}}']], {
        about: 'Requests that wait for an answer.',
      }),
      graph('What follows an attempt', [[rate('plumbline_attempts_total', 'next'), '{{next}}']], {
        unit: PER_SECOND,
        stacked: true,
        about: 'exhausted: the schedule ran out; failed: we stopped.',
      }),
      graph(
        'Put off without an attempt',
        [
          [rate('plumbline_deliveries_deferred_total'), 'endpoint busy'],
          [rate('plumbline_deliveries_rate_limited_total'), 'rate limit'],
          [rate('plumbline_deliveries_skipped_total'), 'skipped: endpoint disabled'],
        ],
        { unit: PER_SECOND, about: 'Deliveries that came up and were not attempted then.' },
      ),
    ],
  ],
  [
    'Retries',
    [
      graph(
        'Retries',
        [
          [rate('plumbline_retries_parked_total'), 'parked'],
          [rate('plumbline_messages_stale_total'), 'stale'],
          [rate('plumbline_parkings_refused_total'), 'not confirmed'],
          [rate('plumbline_deliveries_swept_total'), 'swept: lost'],
        ],
        { unit: PER_SECOND, about: 'Not confirmed and swept are 0 while the broker is well.' },
      ),
      graph('Lateness of retries', quantiles('plumbline_retry_lateness_seconds'), {
        unit: 's',
        about: 'How much later than due a retry came back.',
      }),
      graph('Oldest delivery due', [['max(plumbline_deliveries_due_age_seconds)', 'due for']], {
        unit: 's',
        about: 'Above RECOVERY_GRACE the sweep publishes it again.',
      }),
    ],
  ],
  [
    'Recorder',
    [
      graph('Recording a batch', quantiles('plumbline_record_duration_seconds'), {
        unit: 's',
        about: 'One statement, attempts again included.',
      }),
      graph(
        'Outcomes in a batch',
        [[`${rate('plumbline_record_batch_size_sum')} / ${rate('plumbline_record_batch_size_count')}`, 'mean']],
        { about: 'Grows with the load: a statement costs as much as many rows.' },
      ),
      graph(
        'Waiting and failing',
        [
          ['sum(plumbline_outcomes_waiting)', 'outcomes waiting'],
          [rate('plumbline_record_failures_total', 'cause'), 'failures: {{cause}}'],
        ],
        { about: 'unavailable is the database, fault is ours.' },
      ),
    ],
  ],
]);

const receivers = dashboard('receivers', 'receivers', 'How do our customers’ endpoints answer?', [
  [
    'Now',
    [
      stat('Attempts that succeed', '1 - plumbline:attempts_failed:ratio_rate5m', {
        unit: SHARE,
        decimals: 1,
        limits: [0.9, 0.5],
        about: 'Of all attempts in five minutes. Receivers’ own failures are in it.',
      }),
      stat('Endpoints failing', 'max(plumbline_endpoints_failing)', { about: 'Active endpoints whose last attempt failed.' }),
      stat('Endpoints disabled', 'max(plumbline_endpoints_disabled)', {
        about: 'Disabled for their failures or because they answered 410; their owners have to enable them.',
      }),
      stat('Disabled in 24 h', 'sum(increase(plumbline_endpoints_disabled_total[24h]))', { decimals: 0, about: 'By themselves.' }),
      stat('Exhausted in 24 h', 'sum(increase(plumbline_attempts_total{next="exhausted"}[24h]))', {
        decimals: 0,
        about: 'Deliveries whose schedule ran out.',
      }),
      stat('Open connections', 'sum(plumbline_open_connections)', { about: 'To endpoints, idle ones included.' }),
    ],
  ],
  [
    'Answers',
    [
      outcomes(),
      graph(
        'Why attempts fail',
        [
          [rate('plumbline_attempts_total{outcome=~"[345]xx|other_status|bad_response|tls_failed", next!="succeeded"}'), 'the receiver answered no'],
          [rate('plumbline_attempts_total{outcome=~"timeout|connect_failed|reset|dns_failed"}'), 'not reached in time'],
          [rate('plumbline_attempts_total{outcome="address_forbidden"}'), 'address forbidden'],
        ],
        { unit: PER_SECOND, stacked: true, about: 'When “not reached” rises for all at once, look at our network and DNS.' },
      ),
      graph('What follows', [[rate('plumbline_attempts_total', 'next'), '{{next}}']], {
        unit: PER_SECOND,
        stacked: true,
        about: 'Retry, or one of the ends.',
      }),
      graph(
        'Duration of attempts',
        [
          [quantile(0.5, 'plumbline_attempt_duration_seconds'), 'p50'],
          [quantile(0.95, 'plumbline_attempt_duration_seconds'), 'p95'],
        ],
        { unit: 's', about: 'Of all receivers together.' },
      ),
      graph('Mean duration by outcome', [
        [`${rate('plumbline_attempt_duration_seconds_sum', 'outcome')} / ${rate('plumbline_attempt_duration_seconds_count', 'outcome')} >= 0`, '{{outcome}}'],
      ], { unit: 's', about: 'Slow failures hold permits for longer than slow successes.' }),
    ],
  ],
  [
    'Protection',
    [
      graph(
        'Busy and limited endpoints',
        [
          [rate('plumbline_deliveries_deferred_total'), 'put off: busy'],
          [rate('plumbline_deliveries_rate_limited_total'), 'put off: rate limit'],
        ],
        { unit: PER_SECOND, about: 'No attempt is used up.' },
      ),
      graph(
        'Slots of rate limits',
        [
          [rate('plumbline_rate_slots_reserved_total'), 'reserved'],
          [rate('plumbline_rate_slots_missed_total'), 'missed'],
        ],
        { unit: PER_SECOND, about: 'Missed slots say that a dispatcher or the broker is overloaded.' },
      ),
      graph(
        'Disabled and skipped',
        [
          [rate('plumbline_endpoints_disabled_total'), 'endpoints disabled'],
          [rate('plumbline_deliveries_skipped_total'), 'deliveries skipped'],
        ],
        { unit: PER_SECOND, about: 'Deliveries to disabled endpoints are skipped, and may be recovered.' },
      ),
    ],
  ],
]);

const ours = 'queue=~"plumbline[.].*"';
const brokerAndDatabase = dashboard('broker-database', 'broker and database', 'Is it one of the two?', [
  [
    'Now',
    [
      stat('Without the broker', 'count(plumbline_check_ready{check="broker"} == 0) or vector(0)', {
        limits: [1, 1],
        about: 'Processes that cannot publish.',
      }),
      stat('Broker alarms', 'sum({__name__=~"rabbitmq_alarms_(memory_used|free_disk_space)_watermark"})', {
        limits: [1, 1],
        about: 'With a memory or disk alarm the broker takes no messages.',
      }),
      stat('Parked retries', 'sum(rabbitmq_detailed_queue_messages_ready{queue=~"plumbline[.]delay[.].*"})', {
        about: 'What waits in the delay queues.',
      }),
      stat('Without the database', 'count(plumbline_check_ready{check="database"} == 0) or vector(0)', {
        limits: [1, 1],
        about: 'Processes that do not reach PostgreSQL, or find it read-only.',
      }),
      stat('Partitions ahead', 'min(plumbline_partitions_ahead)', {
        limits: [5, 3],
        about: 'Days that are made ahead. Without today’s nothing is accepted.',
      }),
      stat('Database size', 'max(plumbline_database_size_bytes)', { unit: 'bytes', about: 'On disk.' }),
    ],
  ],
  [
    'RabbitMQ',
    [
      graph(
        'Messages ready',
        [[`max by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~"plumbline[.](events|fanout|retries|dead).*"})`, '{{queue}}']],
        { about: 'As the broker counts them.' },
      ),
      graph('Messages unacknowledged', [[`sum by (queue) (rabbitmq_detailed_queue_messages_unacked{${ours}}) > 0 or sum(rabbitmq_detailed_queue_messages_unacked{${ours}})`, '{{queue}}']], {
        about: 'In the hands of dispatchers.',
      }),
      graph(
        'Parked by delay',
        [['sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"plumbline[.]delay[.].*"}) > 0 or sum(rabbitmq_detailed_queue_messages{queue=~"plumbline[.]delay[.].*"})', '{{queue}}']],
        { stacked: true, about: 'One queue for each delay.' },
      ),
      graph('Consumers', [['sum by (queue) (rabbitmq_detailed_queue_consumers{queue=~"plumbline[.](events|fanout|retries).*"})', '{{queue}}']], {
        about: 'One for each dispatcher and queue.',
      }),
      graph(
        'Published and delivered',
        [
          [rate('rabbitmq_global_messages_confirmed_total'), 'confirmed'],
          [rate('rabbitmq_global_messages_delivered_total'), 'delivered'],
          [rate('rabbitmq_global_messages_acknowledged_total'), 'acknowledged'],
        ],
        { unit: PER_SECOND, about: 'Of the whole broker.' },
      ),
      graph(
        'Memory',
        [
          ['sum by (instance) (rabbitmq_process_resident_memory_bytes)', '{{instance}}'],
          ['sum by (instance) (rabbitmq_resident_memory_limit_bytes)', '{{instance}}, alarm'],
        ],
        { unit: 'bytes', about: 'At the limit the broker blocks publishing.' },
      ),
      graph(
        'Disk',
        [
          ['min by (instance) (rabbitmq_disk_space_available_bytes)', '{{instance}}, free'],
          ['max by (instance) (rabbitmq_disk_space_available_limit_bytes)', '{{instance}}, alarm'],
        ],
        { unit: 'bytes', about: 'Below the limit the broker blocks publishing.' },
      ),
      graph('Connections', [['sum by (instance) (rabbitmq_connections)', '{{instance}}']], {
        about: 'A dispatcher has three, an API two.',
      }),
    ],
  ],
  [
    'PostgreSQL',
    [
      graph(
        'Pools',
        [
          ['sum by (job) (plumbline_database_pool_connections - plumbline_database_pool_available)', '{{job}}, in use'],
          ['sum by (job) (plumbline_database_pool_max)', '{{job}}, at most'],
          ['sum by (job) (plumbline_database_pool_waiting)', '{{job}}, waiting'],
        ],
        { about: 'Waiting for long: statements are slow, or the pool is small.' },
      ),
      graph(
        'Connections of the server',
        [
          ['max(plumbline_database_server_connections)', 'in use'],
          ['max(plumbline_database_server_connections_max)', 'at most'],
        ],
        { about: 'Ours and others’.' },
      ),
      graph(
        'Statements',
        [
          [`${rate('plumbline_intake_commit_seconds_total')} / ${rate('plumbline_intake_commits_total')}`, 'a commit of the intake, mean'],
          [quantile(0.5, 'plumbline_record_duration_seconds'), 'recording, p50'],
          [quantile(0.99, 'plumbline_record_duration_seconds'), 'recording, p99'],
        ],
        { unit: 's', about: 'When both rise, it is the database.' },
      ),
      graph('Size', [['max(plumbline_database_size_bytes)', 'on disk']], {
        unit: 'bytes',
        about: 'Levels out when retention drops as much as is written.',
      }),
      graph(
        'Partitions',
        [
          ['min(plumbline_partitions_ahead)', 'ahead'],
          ['max(plumbline_partitions_expired)', 'past their retention'],
        ],
        { about: 'Eight ahead, none past.' },
      ),
      graph('Outcomes not recorded at once', [[rate('plumbline_record_failures_total', 'cause'), '{{cause}}']], {
        unit: PER_SECOND,
        about: 'unavailable is the database, fault is ours.',
      }),
    ],
  ],
]);

// What a job is called is Prometheus' configuration's affair.
const OURS = ' and on (job, instance) plumbline_ready';
const used = (value: string, limit: string, by: string) => `max by (${by}) (${value} / (${limit} > 0))`;
const capacity = dashboard('capacity', 'capacity', 'How close to a limit, and who does the work?', [
  [
    'Share of each limit in use',
    [
      graph('Permits', [[used('plumbline_permits_in_use', 'plumbline_permits_max', 'instance, share'), '{{instance}}, {{share}}']], {
        unit: SHARE,
        max: 1,
        about: 'Attempts at once. Full while receivers are slow: MAX_IN_FLIGHT, or more dispatchers.',
      }),
      graph(
        'Database pool',
        [
          [
            'max by (job, instance) ((plumbline_database_pool_connections - plumbline_database_pool_available) / plumbline_database_pool_max)',
            '{{job}} {{instance}}',
          ],
        ],
        { unit: SHARE, max: 1, about: 'DATABASE_POOL_SIZE.' },
      ),
      graph('Memory', [[used('process_resident_memory_bytes', 'plumbline_memory_max_bytes', 'job, instance'), '{{job}} {{instance}}']], {
        unit: SHARE,
        max: 1,
        about: 'Of the container’s limit, or of the machine’s memory.',
      }),
      graph(
        'File descriptors',
        [[`max by (job, instance) ((process_open_fds / process_max_fds)${OURS})`, '{{job}} {{instance}}']],
        { unit: SHARE, max: 1, about: 'ulimit -n.' },
      ),
      graph(
        'Clients’ connections',
        [[used('plumbline_http_connections', 'plumbline_http_connections_max', 'instance'), '{{instance}}']],
        { unit: SHARE, max: 1, about: 'MAX_CONNECTIONS, or what the file descriptors allow.' },
      ),
      graph(
        'Buffers',
        [
          [used('plumbline_outcomes_waiting', 'plumbline_outcomes_waiting_max', 'instance'), '{{instance}}, outcomes'],
          [used('plumbline_intake_waiting_requests', 'plumbline_intake_waiting_requests_max', 'instance'), '{{instance}}, requests'],
          [used('plumbline_intake_publishing_bytes', 'plumbline_intake_publishing_bytes_max', 'instance'), '{{instance}}, publishing'],
        ],
        { unit: SHARE, max: 1, about: 'What is full slows down what feeds it; nothing is lost.' },
      ),
    ],
  ],
  [
    'Who does the work',
    [
      graph('Attempts by dispatcher', [[rate('plumbline_attempts_total', 'instance'), '{{instance}}']], {
        unit: PER_SECOND,
        stacked: true,
        about: 'Even, when all are as fast.',
      }),
      graph('Events accepted by API', [[rate('plumbline_events_accepted_total', 'instance'), '{{instance}}']], {
        unit: PER_SECOND,
        stacked: true,
        about: 'As the load balancer spreads them.',
      }),
      graph(
        'Leaders',
        [
          ['sum by (instance) (plumbline_relay_leader)', 'relay: {{instance}}'],
          ['sum by (instance) (plumbline_sweep_leader)', 'sweep: {{instance}}'],
        ],
        { max: 1, about: 'One of each; they move when their process ends.' },
      ),
    ],
  ],
  [
    'What it costs',
    [
      graph('CPU', [[`sum by (job, instance) (rate(process_cpu_seconds_total[${window}])${OURS})`, '{{job}} {{instance}}']], {
        about: 'Cores in use.',
      }),
      graph(
        'CPU for an attempt',
        [[`sum(rate(process_cpu_seconds_total[${window}]) and on (job, instance) plumbline_sweep_leader) / ${rate('plumbline_attempts_total')}`, 'dispatchers']],
        { unit: 's', about: 'Of all dispatchers together; the same however many there are.' },
      ),
      graph('Memory', [[`max by (job, instance) (process_resident_memory_bytes${OURS})`, '{{job}} {{instance}}']], {
        unit: 'bytes',
        about: 'Bounded, whatever the backlog.',
      }),
    ],
  ],
]);

const directory = process.argv[2];
for (const each of [overview, pipeline, receivers, brokerAndDatabase, capacity]) {
  writeFileSync(`${directory}/${each.uid}.json`, `${JSON.stringify(each, null, 1)}\n`);
}
