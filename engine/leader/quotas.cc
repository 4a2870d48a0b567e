#include "engine/leader/quotas.h"

#include <algorithm>

namespace uhd {

namespace {

constexpr double kLook = 1;  // seconds until somebody looks again whether costs are known

}  // namespace

Quotas::Bucket Quotas::bucket_of(const std::string& tenant, double per_minute, TimePoint now) const {
  const auto known = buckets_.find(tenant);
  if (known == buckets_.end()) return {per_minute, per_minute, now};
  Bucket bucket = known->second;
  const double since = std::max(0.0, seconds(now - bucket.filled));
  bucket.per_minute = per_minute;
  bucket.left = std::min(bucket.left + since * per_minute / 60, per_minute);
  bucket.filled = now;
  return bucket;
}

std::optional<double> Quotas::wait_of(const Bucket& bucket, double cost) {
  const double missing = std::min(cost, bucket.per_minute) - bucket.left;
  if (missing > 0 || bucket.left < 0) return std::max(missing, -bucket.left) * 60 / bucket.per_minute;
  if (cost == 0 && bucket.unknown) return kLook;
  return std::nullopt;
}

std::optional<double> Quotas::take(const std::string& tenant, double per_minute, double cost, TimePoint now) {
  const std::lock_guard lock(mutex_);
  Bucket bucket = bucket_of(tenant, per_minute, now);
  const std::optional<double> wait = wait_of(bucket, cost);
  if (!wait) {
    bucket.left -= cost;
    if (cost == 0) bucket.unknown = true;
  }
  buckets_[tenant] = bucket;
  return wait;
}

std::optional<double> Quotas::wait(const std::string& tenant, double per_minute, double cost,
                                   TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return wait_of(bucket_of(tenant, per_minute, now), cost);
}

void Quotas::charge(const std::string& tenant, double per_minute, double measured, TimePoint now) {
  const std::lock_guard lock(mutex_);
  Bucket bucket = bucket_of(tenant, per_minute, now);
  bucket.left -= measured;
  buckets_[tenant] = bucket;
}

void Quotas::correct(const std::string& tenant, double predicted, double measured) {
  const std::lock_guard lock(mutex_);
  const auto bucket = buckets_.find(tenant);
  if (bucket == buckets_.end()) return;
  bucket->second.left += predicted - measured;
  if (predicted == 0) bucket->second.unknown = false;
}

}  // namespace uhd
