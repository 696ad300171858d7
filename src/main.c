#include "config.h"

#include <stdio.h>

int main(void)
{
    puts("pintle " PACKAGE_VERSION);
    return 0;
}
