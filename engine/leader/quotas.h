// Quotas bound what a tenant may cost in a minute: token buckets in predicted seconds of work, which are
// corrected by what the work turned out to be.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace uhd {

// Thread-safe. Tenants are those of the API keys' file, so that there are never more than it has lines.
//
// A tenant begins with a whole minute's quota, and gets it back evenly. A request is taken while there is
// enough for it; one that alone costs more than a minute's quota is taken when the quota is whole, and those
// after it wait until it is paid off. While nobody knows what requests cost, a tenant has one at a time.
class Quotas {
 public:
  // Takes `cost` from the tenant's quota of `per_minute` seconds, which is positive; a cost of 0 is not known
  // yet. Returns the seconds until it would be taken if it is not: then nothing was taken. The caller
  // corrects once what was taken.
  std::optional<double> take(const std::string& tenant, double per_minute, double cost, TimePoint now);
  // Returns what take() would, and takes nothing.
  std::optional<double> wait(const std::string& tenant, double per_minute, double cost, TimePoint now) const;
  // Takes seconds that nobody predicted, whatever is left.
  void charge(const std::string& tenant, double per_minute, double measured, TimePoint now);
  // Corrects the quota: work that had been predicted to cost `predicted` cost `measured`, or its cost was not
  // known (0). Without effect on tenants without a quota.
  void correct(const std::string& tenant, double predicted, double measured);

 private:
  struct Bucket {
    double left = 0;  // seconds of work; below zero: owed
    double per_minute = 0;
    TimePoint filled;
    bool unknown = false;  // one whose cost was not known is under way
  };
  static std::optional<double> wait_of(const Bucket& bucket, double cost);
  Bucket bucket_of(const std::string& tenant, double per_minute, TimePoint now) const;

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace uhd
