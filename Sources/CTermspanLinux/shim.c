#include "CTermspanLinux.h"
