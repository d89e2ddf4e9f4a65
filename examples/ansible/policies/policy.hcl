# One folder for a fleet. What differs from host to host comes from a variable
# file each: seawall compile fleet --var-file fleet/db1.vars.hcl
variable "external" {
  type        = list(string)
  description = "The interfaces to the outside"
}

variable "services" {
  type = map(object({
    ports   = list(any)
    clients = optional(list(string), ["any"])
  }))
  description = "What the host publishes; without clients, for everybody"

  validation {
    condition     = length(var.services) > 0
    error_message = "A host of this fleet publishes something."
  }
}

variable "blocked" {
  type    = list(string)
  default = []
}

host {
  external = var.external
  unlisted = "deny"
}
