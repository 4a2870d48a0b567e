#include "engine/leader/cut_queue.h"

#include <algorithm>

namespace uhd {

struct CutQueue::Group {
  struct Member {
    RequestId request = 0;
    std::shared_ptr<const std::atomic<bool>> abandoned;
    bool wants() const { return !abandoned->load(std::memory_order_relaxed); }
  };
  std::string client;
  std::string salt;
  std::vector<ImageTask> images;
  std::vector<Member> members;
  int64_t reserved = 0;  // bytes for slices that are not there yet
  size_t taken = 0;      // images given out
  size_t under_way = 0;  // of them, not finished
  CutSlices slices;
  std::optional<Failure> failure;

  bool wanted() const { return std::ranges::any_of(members, &Member::wants); }
  bool same_images(const CutRequest& request) const {
    return client == request.client && salt == request.salt &&
           std::ranges::equal(images, request.images, {}, &ImageTask::bytes, &ImageTask::bytes);
  }
};

int64_t slice_bytes(const SlicePlan& plan) {
  int64_t bytes = 0;
  for (int i = 0; i < plan.pieces(); ++i) bytes += 3 * plan.piece(i).width * plan.piece(i).height;
  return bytes;
}

const ImageTask& CutQueue::Work::task() const { return group->images[image]; }
const std::string& CutQueue::Work::salt() const { return group->salt; }

void CutQueue::add(CutRequest request) {
  if (join(request)) return;
  auto group = std::make_shared<Group>();
  group->members.push_back({request.request, std::move(request.abandoned)});
  group->slices.resize(request.images.size());
  for (const ImageTask& image : request.images) group->reserved += slice_bytes(image.plan);
  group->client = std::move(request.client);
  group->salt = std::move(request.salt);
  group->images = std::move(request.images);
  line_of(group->client).push_back(group);
}

std::optional<CutQueue::Work> CutQueue::next() {
  forget_abandoned();
  if (begun_.empty() && !begin_next()) return std::nullopt;
  std::shared_ptr<Group> group = begun_.front();
  Work work{group, group->taken++};
  ++group->under_way;
  if (group->taken == group->images.size()) {
    begun_.pop_front();
    taken_.push_back(std::move(group));
  }
  return work;
}

std::vector<CutImages> CutQueue::finish(const Work& work,
                                        std::variant<std::vector<SharedSlice>, Failure> result) {
  Group& group = *work.group;
  --group.under_way;
  if (auto* failure = std::get_if<Failure>(&result)) {
    if (!group.failure) group.failure = std::move(*failure);
    // Its other images need not begin.
    if (std::erase(begun_, work.group) > 0) taken_.push_back(work.group);
  } else {
    auto& slices = std::get<std::vector<SharedSlice>>(result);
    for (const SharedSlice& slice : slices) group.reserved -= static_cast<int64_t>(slice->pixels.size());
    group.slices[work.image] = std::move(slices);
  }
  const bool ended = group.under_way == 0 && std::erase(taken_, work.group) > 0;
  return ended ? end(group) : std::vector<CutImages>();
}

size_t CutQueue::waiting() const {
  size_t requests = 0;
  for (const Line& line : lines_) requests += line.size();
  return requests;
}

bool CutQueue::join(const CutRequest& request) {
  const auto joins = [&](const std::shared_ptr<Group>& group) {
    if (group->failure || !group->same_images(request)) return false;
    group->members.push_back({request.request, request.abandoned});
    return true;
  };
  return std::ranges::any_of(lines_, [&](Line& line) { return std::ranges::any_of(line, joins); }) ||
         std::ranges::any_of(begun_, joins) || std::ranges::any_of(taken_, joins);
}

CutQueue::Line& CutQueue::line_of(const std::string& client) {
  for (Line& line : lines_) {
    if (line.front()->client == client) return line;
  }
  return lines_.emplace_back();
}

void CutQueue::forget_abandoned() {
  const auto unwanted = [](const std::shared_ptr<Group>& group) { return !group->wanted(); };
  for (Line& line : lines_) std::erase_if(line, unwanted);
  std::erase_if(lines_, [](const Line& line) { return line.empty(); });
  std::erase_if(begun_, [&](const std::shared_ptr<Group>& group) {
    if (group->wanted()) return false;
    if (group->under_way > 0) {
      group->failure = Failure{500, "abandoned", "nobody waits for it", 0};
      taken_.push_back(group);  // ends with the last of its images under way
    } else {
      in_use_ -= group->reserved;
      dropped_.push_back(std::move(group->slices));
    }
    return true;
  });
}

bool CutQueue::begin_next() {
  if (lines_.empty()) return false;
  const std::shared_ptr<Group> group = lines_.front().front();
  if (in_use_ > 0 && in_use_ + group->reserved > memory_) return false;
  in_use_ += group->reserved;
  Line line = std::move(lines_.front());
  lines_.pop_front();
  line.pop_front();
  if (!line.empty()) lines_.push_back(std::move(line));
  begun_.push_back(group);
  return true;
}

std::vector<CutImages> CutQueue::end(Group& group) {
  in_use_ -= group.reserved;
  std::vector<CutImages> results;
  for (const Group::Member& member : group.members) {
    if (group.failure) {
      results.push_back({member.request, *group.failure});
    } else {
      results.push_back({member.request, group.slices});
    }
  }
  return results;
}

}  // namespace uhd
