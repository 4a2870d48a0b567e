// A trace says what a load generator sends and when: sessions of turns, drawn from a seed or read from a file
// that an earlier run recorded. Equal traces make equal requests, byte for byte, but for the answers of
// earlier turns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/load_pictures.h"

namespace uhd {

struct LoadTurn {
  std::string text;
  std::vector<DrawnPicture> pictures;
  int max_tokens = 64;
};

struct LoadSession {
  double at_s = 0;      // seconds from the start of the run to its first turn; closed loops do not look at it
  double think_s = 0;   // seconds between the end of an answer and the next turn
  bool beside = false;  // it runs beside the other sessions, and ends when they have ended
  std::vector<LoadTurn> turns;
};

// A LoadMix says what a trace is drawn from.
struct LoadMix {
  int sessions = 16;
  double rate = 1;  // sessions a second, on average
  int burst = 1;    // sessions that come at once; bursts are as far apart as the rate asks for
  int turns = 1;
  double think_s = 0;
  int text = 100;  // characters of a turn
  int max_tokens = 64;
  std::string pictures = "none";  // none, mixed, or a kind (app/load_pictures.h)
  int pictures_a_turn = 1;        // pictures in the first turn of a session, where there are pictures
  int width = 0, height = 0;      // the size of every picture; 0: as the kind has them
  std::string file;               // instead of a kind: every picture is this file
  uint64_t seed = 1;
};

// Arrivals are a Poisson process of bursts.
std::vector<LoadSession> draw_trace(const LoadMix& mix);

// JSON Lines, a session each. Reading checks every size and count: a wrong line is an Error that names it.
std::string trace_text(const std::vector<LoadSession>& sessions);
std::vector<LoadSession> parse_trace(const std::string& text, const std::string& name);

}  // namespace uhd
