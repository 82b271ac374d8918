variable "bundle_dir" {
  description = "Directory with the staged source of each function; null is build/ next to this directory, where `make bundle` puts it."
  type        = string
  default     = null
}

variable "caller_ingress" {
  description = "From where submit and jobs can be reached at all; who may call them is up to `submit_invokers` and `jobs_invokers`. `ALLOW_INTERNAL_ONLY`, `ALLOW_INTERNAL_AND_GCLB` (a load balancer too) or `ALLOW_ALL` (the internet too)."
  type        = string
  default     = "ALLOW_INTERNAL_AND_GCLB"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"], var.caller_ingress)
    error_message = "Must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "cleanup_attempt_deadline_seconds" {
  description = "After this long Cloud Scheduler counts a run of cleanup as failed."
  type        = number
  default     = 165
  nullable    = false

  validation {
    condition     = var.cleanup_attempt_deadline_seconds >= 15 && var.cleanup_attempt_deadline_seconds <= 1800
    error_message = "Cloud Scheduler takes 15 to 1800 seconds."
  }
}

variable "cleanup_budget_seconds" {
  description = "After this long a run of cleanup begins no further deletion."
  type        = number
  default     = 120
  nullable    = false

  validation {
    condition     = var.cleanup_budget_seconds >= 1 && floor(var.cleanup_budget_seconds) == var.cleanup_budget_seconds
    error_message = "Must be a whole number of seconds, at least 1."
  }
}

variable "cleanup_cron" {
  description = "When cleanup runs, in unix-cron."
  type        = string
  default     = "0 2 * * *"
  nullable    = false

  validation {
    condition     = can(regex("^((\\*|[0-5]?[0-9]-[0-5]?[0-9])(/[1-9][0-9]?)?|[0-5]?[0-9])(,((\\*|[0-5]?[0-9]-[0-5]?[0-9])(/[1-9][0-9]?)?|[0-5]?[0-9]))*( [0-9A-Za-z*/,-]+){4}$", var.cleanup_cron))
    error_message = "Must have five fields: minute, hour, day of month, month, day of week, as in 0 2 * * *."
  }
}

variable "cleanup_overdue_hours" {
  description = "After this long without a run of cleanup the alert comes; longer than the time between two runs of `cleanup_cron`."
  type        = number
  default     = 26
  nullable    = false

  validation {
    condition     = var.cleanup_overdue_hours >= 2 && floor(var.cleanup_overdue_hours) == var.cleanup_overdue_hours
    error_message = "Must be a whole number of hours, at least 2."
  }
}

variable "cleanup_timeout_seconds" {
  description = "After this long the platform ends a run of cleanup."
  type        = number
  default     = 150
  nullable    = false

  validation {
    condition     = var.cleanup_timeout_seconds >= 1 && var.cleanup_timeout_seconds <= 3600
    error_message = "A function may take 1 to 3600 seconds."
  }
}

variable "flink_clusters" {
  description = "Flink clusters in addition to the one of `flink_rest_url`, by their name."
  type = map(object({
    rest_url        = string
    history_url     = optional(string)
    jobmanager      = optional(string)
    ui_url          = optional(string)
    google_audience = optional(string)
    flink_conf      = optional(map(string))
    namespace       = optional(string)
    image           = optional(string)
    service_account = optional(string)
    pod_template    = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for cluster in values(var.flink_clusters) :
      cluster.namespace == null || can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", cluster.namespace))
    ])
    error_message = "The namespace of a cluster must be a Kubernetes namespace."
  }

  validation {
    condition     = !contains(keys(var.flink_clusters), "default")
    error_message = "The cluster named default is the one of flink_rest_url."
  }
}

variable "flink_image" {
  description = "The image that holds Flink, PyFlink and the scripts: what a submitter's pod runs."
  type        = string

  validation {
    condition     = can(regex("^[^\\s]+$", var.flink_image))
    error_message = "Must be the name of an image, without spaces."
  }
}

variable "flink_rest_url" {
  description = "REST API of the Flink cluster named `default`, as the functions reach it from the network and the pods within the cluster."
  type        = string

  validation {
    condition     = can(regex("^https?://[^\\s?#]+$", var.flink_rest_url))
    error_message = "Must be an http or https URL without a query, as in http://10.0.0.5:8081."
  }
}

variable "gke_cluster" {
  description = "The GKE cluster that the jobs are submitted from: `projects/…/locations/…/clusters/…`."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/clusters/[^/]+$", var.gke_cluster))
    error_message = "Must be projects/PROJECT/locations/LOCATION/clusters/NAME."
  }
}

variable "iap_members" {
  description = "Who may sign in to the page, as IAM members. With any, Identity-Aware Proxy is before jobs, which is a Cloud Run service then; none by default."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.iap_members : can(regex("^(user|group|serviceAccount|domain):[^\\s]+$", member))])
    error_message = "Must hold IAM members such as group:data@example.com."
  }
}

variable "jobs_invokers" {
  description = "Who may open the page of job instances and its API, as IAM members: `user:`, `group:`, `serviceAccount:`, `domain:`. None by default."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.jobs_invokers : can(regex("^(user|group|serviceAccount|domain):[^\\s]+$", member))])
    error_message = "Must hold IAM members such as group:data-team@example.com. The page shows what jobs were submitted with: it has no public mode."
  }
}

variable "k8s_namespace" {
  description = "The namespace that the Kubernetes Jobs live in."
  type        = string
  default     = "lemo-dev"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.k8s_namespace))
    error_message = "Must be the name of a Kubernetes namespace."
  }
}

variable "labels" {
  description = "Labels on everything that can carry them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels are of lower-case letters, digits, _ and -; a key begins with a letter."
  }
}

variable "log_level" {
  description = "Below which the functions log nothing. `WARNING` and `ERROR` silence the lines that the alerts are made of, so they are refused."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "Must be DEBUG or INFO: the alerts count lines of the level INFO."
  }
}

variable "manage_kubernetes" {
  description = "Whether to make the functions' permissions and the NetworkPolicy in the cluster too, through the provider `kubernetes`. Otherwise apply deploy/kubernetes/ yourself."
  type        = bool
  default     = false
  nullable    = false
}

variable "manage_namespace" {
  description = "Whether to make the namespace too, where `manage_kubernetes` is on and it is not there yet. `terraform destroy` then deletes it with everything in it."
  type        = bool
  default     = false
  nullable    = false
}

variable "mongodb_database" {
  description = "Where the records are."
  type        = string
  default     = "lemo_recommender"
  nullable    = false

  validation {
    condition     = can(regex("^[^/\\\\. \"$*<>:|?]{1,63}$", var.mongodb_database))
    error_message = "Must be the name of a MongoDB database."
  }
}

variable "mongodb_read_uri" {
  description = "Connection string of a MongoDB user that may only read, for jobs. It is kept in Secret Manager only; every apply needs it where `mongodb_read_uri_version` is set."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.mongodb_read_uri == null || can(regex("^mongodb(\\+srv)?://", var.mongodb_read_uri))
    error_message = "Must begin with mongodb:// or mongodb+srv://."
  }

  validation {
    condition     = var.mongodb_read_uri != null || var.mongodb_read_uri_version == null
    error_message = "mongodb_read_uri_version is set, so mongodb_read_uri is needed too."
  }
}

variable "mongodb_read_uri_version" {
  description = "Raise it by one together with a new `mongodb_read_uri`. null: jobs uses the same secret as the others."
  type        = number
  default     = null

  validation {
    condition     = var.mongodb_read_uri_version == null || try(var.mongodb_read_uri_version >= 1, false)
    error_message = "Must be 1 or more."
  }
}

variable "mongodb_uri" {
  description = "Connection string of the MongoDB user of submit, sync and cleanup. It is kept in Secret Manager only: every apply needs it, and sends it when `mongodb_uri_version` changes."
  type        = string
  ephemeral   = true
  sensitive   = true
  nullable    = false

  validation {
    condition     = can(regex("^mongodb(\\+srv)?://", var.mongodb_uri))
    error_message = "Must begin with mongodb:// or mongodb+srv://."
  }
}

variable "mongodb_uri_version" {
  description = "Raise it by one together with a new `mongodb_uri`: that makes a new version of the secret, and the functions start to use it."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.mongodb_uri_version >= 1
    error_message = "Must be 1 or more."
  }
}

variable "network" {
  description = "Name of the VPC network from which Flink and MongoDB can be reached, in this project. Not used with `vpc_connector`."
  type        = string
  default     = "default"
  nullable    = false
}

variable "notification_channels" {
  description = "Where the alerts go: names of Cloud Monitoring notification channels, `projects/…/notificationChannels/…`. Without any, an alert is only seen in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "Must hold names such as projects/PROJECT/notificationChannels/123."
  }
}

variable "notify_channels" {
  description = "The channels that sync sends events to, as JSON: `NOTIFY_CHANNELS` of docs/reference/settings.md. They hold secrets, so they are kept in Secret Manager only; every apply needs them where `notify_channels_version` is set."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.notify_channels == null || can(regex("^\\[", var.notify_channels)) && can(jsondecode(var.notify_channels)[0].name)
    error_message = "Must be a JSON list of channels, each with a name; sync checks the rest at its start."
  }

  validation {
    condition     = var.notify_channels != null || var.notify_channels_version == null
    error_message = "notify_channels_version is set, so notify_channels are needed too."
  }
}

variable "notify_channels_version" {
  description = "Raise it by one together with new `notify_channels`. null: sync sends no events."
  type        = number
  default     = null

  validation {
    condition     = var.notify_channels_version == null || try(var.notify_channels_version >= 1, false)
    error_message = "Must be 1 or more."
  }
}

variable "operators" {
  description = "Who of `iap_members` may act on jobs: addresses, `*@example.com`, or `*`. Others see the page read-only."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for entry in var.operators : can(regex("^(\\*|\\*@[^@*\\s]+|[^*,\\s]+)$", entry))])
    error_message = "Must hold addresses, *@DOMAIN or *."
  }

  validation {
    condition     = length(var.operators) == 0 || length(var.iap_members) > 0
    error_message = "Operators are known by Identity-Aware Proxy only: name iap_members."
  }
}

variable "page_action_secret" {
  description = "Secret with which jobs signs what the page's actions ask of submit: `whsec_…`, of two separated by a space the newest first. It is kept in Secret Manager only; every apply needs it where `page_action_secret_version` is set."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.page_action_secret == null || can(regex("^whsec_[A-Za-z0-9+/]{32,86}={0,2}( whsec_[A-Za-z0-9+/]{32,86}={0,2})*$", var.page_action_secret))
    error_message = "Must hold secrets of whsec_ and 24 to 64 bytes in base64, separated by single spaces."
  }

  validation {
    condition     = var.page_action_secret != null || var.page_action_secret_version == null
    error_message = "page_action_secret_version is set, so page_action_secret is needed too."
  }
}

variable "page_action_secret_version" {
  description = "Raise it by one together with a new `page_action_secret`. null: jobs signs nothing."
  type        = number
  default     = null

  validation {
    condition     = var.page_action_secret_version == null || try(var.page_action_secret_version >= 1, false)
    error_message = "Must be 1 or more."
  }
}

variable "page_actions" {
  description = "Whether the page has buttons that cancel and stop jobs and make savepoints: jobs may then call submit. Everybody who may open the page may use them; with `iap_members`, the `operators` alone. Everything that jobs sends leaves through the network, as with `sync_now`."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.page_actions || var.webhook_secrets_version == null || var.page_action_secret_version != null
    error_message = "submit demands signatures, so page_actions need page_action_secret and page_action_secret_version."
  }
}

variable "prefix" {
  description = "What the name of everything here begins with."
  type        = string
  default     = "flinkjobs"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.prefix))
    error_message = "Must be 3 to 20 lower-case letters, digits and hyphens, beginning with a letter."
  }

  validation { # as Serverless VPC Access counts: https://cloud.google.com/run/docs/configuring/vpc-connectors
    condition     = length(replace(var.prefix, "-", "--")) <= 20
    error_message = "Must be at most 20 characters, of which a hyphen counts as two: it is also the connector's name."
  }
}

variable "project_id" {
  description = "The Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9.:-]{4,61}[a-z0-9]$", var.project_id))
    error_message = "Must be the id of a project, not its number or its display name."
  }
}

variable "region" {
  description = "The region that everything is made in; best the one of the cluster."
  type        = string
  default     = "europe-west1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Must be a region such as europe-west1."
  }
}

variable "runtime" {
  description = "The Python that the functions run on: `python312` or newer."
  type        = string
  default     = "python312"
  nullable    = false

  validation {
    condition     = try(tonumber(trimprefix(var.runtime, "python3")) >= 12, false)
    error_message = "Must be python312 or newer."
  }
}

variable "settings" {
  description = "Further settings, by the names of docs/reference/settings.md. Each function gets those which it reads."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for name in keys(var.settings) : contains([
      "ALLOWED_SCRIPT_HOSTS", "CLEANUP_DELETIONS_PER_SECOND", "CLEANUP_MAX_DELETIONS", "CLEANUP_RETENTION_HOURS",
      "CLEANUP_UNHARVESTED_HOURS", "CORS_ORIGINS", "FLINK_BIN", "FLINK_HISTORY_URL", "FLINK_JOBMANAGER", "FLINK_UI_URL",
      "HEALTH_MAX_RESTARTS", "HEALTH_REQUESTS_PER_PASS", "HEALTH_WAIT_SECONDS", "HEALTH_WINDOW_SECONDS",
      "K8S_ALLOW_INJECTION", "K8S_IMAGE_PULL_SECRETS", "K8S_SERVICE_ACCOUNT", "LOG_URL_TEMPLATE", "LOST_AFTER_SECONDS",
      "NOTIFY_STUCK_AFTER_SECONDS", "PAGE_URL", "POD_TEMPLATE", "RECORD_RETENTION_DAYS", "SUBMIT_TIMEOUT_SECONDS",
    ], name)])
    error_message = "Holds a name that is no further setting: the others have variables of their own."
  }
}

variable "submit_invokers" {
  description = "Who may submit jobs, as IAM members: `user:`, `group:`, `serviceAccount:`, `domain:`. None by default. `allUsers` is only taken where submit demands a signature (`webhook_secrets_version`)."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.submit_invokers : member == "allUsers" || can(regex("^(user|group|serviceAccount|domain):[^\\s]+$", member))])
    error_message = "Must hold IAM members such as serviceAccount:frontend@PROJECT.iam.gserviceaccount.com."
  }

  validation {
    condition     = !contains(var.submit_invokers, "allUsers") || var.webhook_secrets_version != null
    error_message = "A caller of submit runs code in the cluster: allUsers needs webhook_secrets and webhook_secrets_version, so that submit demands a signature."
  }
}

variable "subnetwork" {
  description = "Name of the subnet of `network` and `region` that the functions get their addresses from with direct egress: a /26 at least, with Private Google Access for `sync_now` and `page_actions`. null: the one that is called as the network, as in a network in auto mode."
  type        = string
  default     = null
}

variable "sync_attempt_deadline_seconds" {
  description = "After this long Cloud Scheduler counts a pass as failed. null: 11/12 of the time between two runs, at most 165."
  type        = number
  default     = null

  validation {
    condition     = var.sync_attempt_deadline_seconds == null || try(var.sync_attempt_deadline_seconds >= 15 && var.sync_attempt_deadline_seconds <= 1800, false)
    error_message = "Cloud Scheduler takes 15 to 1800 seconds."
  }
}

variable "sync_budget_seconds" {
  description = "After this long a pass stops cleanly, and the next one goes on from there (`SYNC_BUDGET_SECONDS`). null: 8/12 of the time between two runs, at most 120."
  type        = number
  default     = null

  validation {
    condition     = var.sync_budget_seconds == null || try(var.sync_budget_seconds >= 1 && floor(var.sync_budget_seconds) == var.sync_budget_seconds, false)
    error_message = "Must be a whole number of seconds, at least 1."
  }
}

variable "sync_cron" {
  description = "When sync runs, in unix-cron: `*/1 * * * *` where freshness matters, `*/10 * * * *` to save cost."
  type        = string
  default     = "*/3 * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^((\\*|[0-5]?[0-9]-[0-5]?[0-9])(/[1-9][0-9]?)?|[0-5]?[0-9])(,((\\*|[0-5]?[0-9]-[0-5]?[0-9])(/[1-9][0-9]?)?|[0-5]?[0-9]))*( [0-9A-Za-z*/,-]+){4}$", var.sync_cron))
    error_message = "Must have five fields: minute, hour, day of month, month, day of week, as in */3 * * * *."
  }
}

variable "sync_follow_seconds" {
  description = "Seconds between two passes of one call of sync, 2 to 30 (`SYNC_FOLLOW_SECONDS`): follow mode, which needs `sync_cron` `* * * * *`. null: a call is one pass. An instance then runs all the time, about 730 h × 1 vCPU: US$ 63 a month."
  type        = number
  default     = null

  validation {
    condition     = var.sync_follow_seconds == null || try(var.sync_follow_seconds >= 2 && var.sync_follow_seconds <= 30 && floor(var.sync_follow_seconds) == var.sync_follow_seconds, false)
    error_message = "Must be a whole number of seconds, 2 to 30."
  }

  validation {
    condition     = var.sync_follow_seconds == null || contains(["* * * * *", "*/1 * * * *"], var.sync_cron)
    error_message = "Follow mode needs sync_cron * * * * *: each call follows to the end of its minute."
  }
}

variable "sync_now" {
  description = "Whether the page's button *Sync now* works, and an action is sent at once: jobs and submit may then call sync. As sync cannot be reached from outside, everything that the two send leaves through the network, whose subnet then needs Private Google Access."
  type        = bool
  default     = false
  nullable    = false
}

variable "sync_overdue_seconds" {
  description = "After this long without a complete pass the alert comes and the page says that it lags. null: three times the longest time between two minutes of `sync_cron`. Needed where `sync_cron` rests, at night or on some days: longer than its longest rest."
  type        = number
  default     = null

  validation {
    condition     = var.sync_overdue_seconds != null || !can(regex("^\\S+( \\S+){4}$", var.sync_cron)) || endswith(var.sync_cron, " * * * *")
    error_message = "sync_cron rests for hours or days: sync_overdue_seconds has to say after how long without a pass the alert comes."
  }

  validation {
    condition     = var.sync_overdue_seconds == null || try(var.sync_overdue_seconds <= 259200 && var.sync_overdue_seconds % 60 == 0, false)
    error_message = "Must be whole minutes, at most three days (259200)."
  }

  validation {
    condition     = var.sync_overdue_seconds == null || try(var.sync_overdue_seconds >= 3 * local.schedule_longest_seconds.sync, false)
    error_message = "Must be at least three times the longest time between two minutes of sync_cron."
  }
}

variable "sync_timeout_seconds" {
  description = "After this long the platform ends a pass. null: 10/12 of the time between two runs, at most 150."
  type        = number
  default     = null

  validation {
    condition     = var.sync_timeout_seconds == null || try(var.sync_timeout_seconds >= 1 && var.sync_timeout_seconds <= 3600, false)
    error_message = "A function may take 1 to 3600 seconds."
  }
}

variable "time_zone" {
  description = "In which the schedules are read, a name of the tz database. One whose clock changes skips or repeats an hour."
  type        = string
  default     = "Etc/UTC"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$", var.time_zone))
    error_message = "Must be a name of the tz database, such as Etc/UTC or Asia/Shanghai."
  }
}

variable "vpc_access" {
  description = "How the functions reach `network`: `direct`, from addresses of `subnetwork`, or `connector`, through a Serverless VPC Access connector that is made for them. Not used with `vpc_connector`."
  type        = string
  default     = "direct"
  nullable    = false

  validation {
    condition     = contains(["direct", "connector"], var.vpc_access)
    error_message = "Must be direct or connector."
  }
}

variable "vpc_connector" {
  description = "An existing Serverless VPC Access connector, `projects/…/locations/…/connectors/…`: the functions reach its network through it."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_connector == null || can(regex("^projects/[^/]+/locations/[^/]+/connectors/[^/]+$", var.vpc_connector))
    error_message = "Must be projects/PROJECT/locations/REGION/connectors/NAME."
  }
}

variable "vpc_connector_cidr" {
  description = "A free /28 of the network for the connector that is made (`vpc_access`)."
  type        = string
  default     = "10.8.0.0/28"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.vpc_connector_cidr, 0)) && endswith(var.vpc_connector_cidr, "/28")
    error_message = "Must be a range of size /28, such as 10.8.0.0/28."
  }
}

variable "vpc_egress" {
  description = "What leaves through the network: `PRIVATE_RANGES_ONLY`, or `ALL_TRAFFIC` where MongoDB or Flink let in only the network's own address (needs Cloud NAT)."
  type        = string
  default     = "PRIVATE_RANGES_ONLY"
  nullable    = false

  validation {
    condition     = contains(["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"], var.vpc_egress)
    error_message = "Must be PRIVATE_RANGES_ONLY or ALL_TRAFFIC."
  }
}

variable "webhook_secrets" {
  description = "Secrets of the Standard Webhooks signatures that submit demands: `whsec_…`, separated by spaces, newest first. They are kept in Secret Manager only; every apply needs them where `webhook_secrets_version` is set."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.webhook_secrets == null || can(regex("^whsec_[A-Za-z0-9+/]{32,86}={0,2}( whsec_[A-Za-z0-9+/]{32,86}={0,2})*$", var.webhook_secrets))
    error_message = "Must hold secrets of whsec_ and 24 to 64 bytes in base64, separated by single spaces."
  }

  validation {
    condition     = var.webhook_secrets != null || var.webhook_secrets_version == null
    error_message = "webhook_secrets_version is set, so webhook_secrets are needed too."
  }
}

variable "webhook_secrets_version" {
  description = "Raise it by one together with new `webhook_secrets`. null: submit demands no signature."
  type        = number
  default     = null

  validation {
    condition     = var.webhook_secrets_version == null || try(var.webhook_secrets_version >= 1, false)
    error_message = "Must be 1 or more."
  }
}
