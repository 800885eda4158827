// The pending merges of BPE, in order of priority and then of position. A few lie in one heap, which is all
// that words need. Texts without words (a line of a million dashes) have so many that a heap would be a cache
// miss per level and merge; past the heap's size they queue up by priority, and because merging goes from
// left to right nearly all arrive in order there and cost a constant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace carat {

class MergeQueue {
 public:
  /// Lowest first: by priority, then by place.
  using Entry = std::pair<uint32_t, uint64_t>;

  bool empty() const { return heap_.empty() && waiting_.empty(); }

  void push(uint32_t priority, uint64_t place) {
    if (heap_.size() < heap_size) {
      heap_.emplace_back(priority, place);
      std::ranges::push_heap(heap_, std::greater{});
      return;
    }
    Lane& lane = lanes_[priority];
    if (lane.empty()) {
      waiting_.push_back(priority);
      std::ranges::push_heap(waiting_, std::greater{});
    }
    lane.push(place);
  }

  /// Of a queue that is not empty.
  Entry pop() {
    if (!waiting_.empty()) {
      const uint32_t priority = waiting_.front();
      Lane& lane = lanes_[priority];
      const Entry first{priority, lane.first()};
      if (heap_.empty() || first < heap_.front()) {
        lane.pop();
        if (lane.empty()) {
          std::ranges::pop_heap(waiting_, std::greater{});
          waiting_.pop_back();
          lanes_.erase(priority);
        }
        return first;
      }
    }
    std::ranges::pop_heap(heap_, std::greater{});
    const Entry first = heap_.back();
    heap_.pop_back();
    return first;
  }

 private:
  static constexpr size_t heap_size = 1024;

  /// The places of one priority: those that came in order, and a heap of the others.
  class Lane {
   public:
    bool empty() const { return front_ == ordered_.size() && others_.empty(); }
    void push(uint64_t place) {
      if (ordered_.empty() || place > ordered_.back()) {
        ordered_.push_back(place);
      } else {
        others_.push_back(place);
        std::ranges::push_heap(others_, std::greater{});
      }
    }
    uint64_t first() const { return ordered_is_first() ? ordered_[front_] : others_.front(); }
    void pop() {
      if (ordered_is_first()) {
        ++front_;
      } else {
        std::ranges::pop_heap(others_, std::greater{});
        others_.pop_back();
      }
    }

   private:
    bool ordered_is_first() const {
      return front_ < ordered_.size() && (others_.empty() || ordered_[front_] < others_.front());
    }
    std::vector<uint64_t> ordered_, others_;
    size_t front_ = 0;
  };

  std::vector<Entry> heap_;
  std::unordered_map<uint32_t, Lane> lanes_;  ///< those with places waiting
  std::vector<uint32_t> waiting_;             ///< heap of their priorities
};

}  // namespace carat
